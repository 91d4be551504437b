//! `snapferry ca`: the authority of clusters' certificates.
use clap::{Args, Subcommand};
use service::{Mode, clusters::authority};

use crate::{
    commands::{
        arguments::Folder,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{attach, print, run},
    },
    deployment::catalogs,
};

/// The authority that signs clusters' certificates
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry ca export > clusters-ca.pem"
)]
pub(crate) struct Ca {
    #[command(subcommand)]
    verb: CaVerb,
}

/// `snapferry ca ...`.
#[derive(Debug, Subcommand)]
enum CaVerb {
    /// Print the authority's certificate as PEM
    ///
    /// Give it to PostgreSQL's clients as sslrootcert. It is the same on all nodes that share a catalog.
    #[command(after_help = "Examples:\n  \
        snapferry ca export > clusters-ca.pem\n  \
        psql 'host=ENDPOINT user=ferryman dbname=postgres sslmode=verify-full sslrootcert=clusters-ca.pem'")]
    Export {
        #[command(flatten)]
        folder: Folder,
        /// Look into the default data folder of `snapferry serve --dev`
        #[arg(long, conflicts_with = "data")]
        dev: bool,
    },
}

impl Run for Ca {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let CaVerb::Export { folder, dev } = self.verb;
        let mode = if dev { Mode::Dev } else { Mode::Closed };
        let catalog = match &folder.shared.catalog {
            Some(url) => catalogs::open_shared(url)?,
            None => catalogs::open(&attach(&folder, mode)?, None)?,
        };
        let certificate = run(async { Ok(authority::certificate(&*catalog).await?) })?;
        print(&certificate.ok_or(Failure::NoAuthority)?)?;
        Ok(Outcome::Done)
    }
}
