//! `snapferry man`: pages for `man`, of the same definitions as the help.
//!
//! It does not know what the verbs do.
use std::{fs, io, path::Path, path::PathBuf};

use clap::{Args, Command};
use clap_mangen::{Man as Page, roff::Roff, roff::roman};

use crate::commands::{
    exit_status::ExitStatus,
    failure::Failure,
    invocation::{Invocation, Outcome, Run},
};

/// Write a page for `man` of each command into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    snapferry man /usr/local/share/man/man1\n  \
    snapferry man . && man -l snapferry-snapshot-copy.1")]
pub(crate) struct Man {
    /// The folder; it is made when it is missing
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
}

impl Run for Man {
    fn run(self, invocation: &Invocation) -> Result<Outcome, Failure> {
        let mut command = (invocation.command_line)().disable_help_subcommand(true);
        command.build();
        let written = fs::create_dir_all(&self.folder).and_then(|()| write(&command, &self.folder));
        written.map_err(|source| Failure::Io {
            doing: "write the pages",
            source,
        })?;
        Ok(Outcome::Done)
    }
}

fn write(command: &Command, folder: &Path) -> io::Result<()> {
    let shown = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    for below in shown {
        write(below, folder)?;
    }
    let (name, page) = page(command)?;
    fs::write(folder.join(name), page)
}

/// A command's page and its file's name.
fn page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let examples = command.get_after_help().map(ToString::to_string);
    // They are sections of their own here.
    let plain = command
        .clone()
        .after_help(None::<&str>)
        .after_long_help(None::<&str>);
    let man = Page::new(plain)
        .source(concat!("snapferry ", env!("CARGO_PKG_VERSION")))
        .manual("Snapferry");
    let mut text = Vec::new();
    man.render(&mut text)?;
    let mut rest = Roff::new();
    if let Some(examples) = examples {
        rest.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.lines().skip(1) {
            rest.text([roman(line.trim_start())]);
        }
        rest.control("fi", []);
    }
    rest.control("SH", ["EXIT STATUS"]);
    for (number, meaning) in ExitStatus::ALL {
        rest.control("TP", []);
        rest.text([roman(number.to_string())])
            .text([roman(*meaning)]);
    }
    rest.to_writer(&mut text)?;
    Ok((man.get_filename(), text))
}
