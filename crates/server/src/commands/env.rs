//! The verb that points a shell at a server on this machine.
//!
//! It does not know whether the server runs.
use std::{io, path::PathBuf};

use clap::Args;
use service::Mode;

use crate::{
    commands::{
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::print,
    },
    deployment::{
        credentials::{dev_export_lines, export_lines},
        data_dir::default_path,
    },
};

/// Print what points AWS's tools at a server on this machine
///
/// For a shell: `eval "$(snapferry env)"`. It names the administrator's credentials and has no secret.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    eval \"$(snapferry env)\" && aws rds describe-db-clusters\n  \
    eval \"$(snapferry env --dev)\"")]
pub(crate) struct Env {
    /// The server's URL
    #[arg(long, default_value = "http://127.0.0.1:8085", value_name = "URL")]
    endpoint: String,
    /// The server runs with --dev, where any key is taken
    #[arg(long, conflicts_with = "data")]
    dev: bool,
    /// Data folder [default: /var/lib/snapferry as root, else ~/.local/share/snapferry]
    #[arg(long, env = "SNAPFERRY_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Run for Env {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        if self.dev {
            print(&dev_export_lines(&self.endpoint))?;
            return Ok(Outcome::Done);
        }
        let folder = match self.data {
            Some(path) => path,
            None => default_path(Mode::Closed)?,
        };
        let credentials = folder.join("credentials");
        match credentials.metadata() {
            Ok(_) => print(&export_lines(&self.endpoint, &credentials))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::NoCredentialsFile(folder));
            }
            Err(source) => {
                return Err(Failure::Io {
                    doing: "look for the credentials",
                    source,
                });
            }
        }
        Ok(Outcome::Done)
    }
}
