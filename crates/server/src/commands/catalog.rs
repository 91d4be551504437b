//! `snapferry catalog`: moving a catalog, and rebuilding a lost one.
use catalog::copy::Copied;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    commands::{
        arguments::ListFormat,
        catalog_rebuild::{self, Rebuild},
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{lines_of_json, print, run, table},
    },
    deployment::catalogs::{self, End},
};

/// Move a catalog, or rebuild a lost one
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry catalog copy /var/lib/snapferry postgres://ferry@db/snapferry\n  \
    snapferry catalog rebuild"
)]
pub(crate) struct Catalog {
    #[command(subcommand)]
    verb: CatalogVerb,
}

/// `snapferry catalog ...`.
#[derive(Debug, Subcommand)]
enum CatalogVerb {
    /// Copy all of a catalog that nobody serves into an empty one, and compare the two
    ///
    /// Each end is a postgres:// URL, or a data folder, whose catalog is a SQLite file. The source stays
    /// as it is. Start the servers with the new catalog afterwards, each on its data folder as before.
    #[command(after_help = "Examples:\n  \
        snapferry catalog copy /var/lib/snapferry postgres://ferry@db/snapferry\n  \
        snapferry serve --catalog postgres://ferry@db/snapferry --vault /var/lib/snapferry/vault")]
    Copy {
        /// Where it is
        #[arg(value_name = "FROM")]
        from: End,
        /// Where it is to go
        #[arg(value_name = "TO")]
        to: End,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Fill a new catalog with the records that the vault logs
    ///
    /// For when the catalog is lost. The vault and the master key are enough: accounts, access keys, KMS
    /// keys, snapshots, whom they are shared with, tags and clusters come back as the record log last had them.
    /// Jobs and events do not. What was acknowledged within the last moments before the loss may be
    /// missing; the report says when the record log was last written.
    ///
    /// Stop every server of the deployment first. The new catalog must be empty. The vaults are its own
    /// afterwards: a server with the old one, should that turn up again, is refused. When the command is
    /// interrupted, give it again.
    ///
    /// Exit status: 0 when all that the record log has was brought back, 3 when part of the record log is damaged
    /// or a snapshot's manifest is gone, 1 when nothing could be done.
    #[command(after_help = "Examples:\n  \
        snapferry catalog rebuild\n  \
        snapferry catalog rebuild --data /srv/snapferry --vault /mnt/vault\n  \
        snapferry catalog rebuild --catalog postgres://ferry@db/snapferry --vault s3://bucket/ferry --format json")]
    Rebuild(Box<Rebuild>),
}

impl Run for Catalog {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        match self.verb {
            CatalogVerb::Copy { from, to, format } => {
                copy(&from, &to, format)?;
                Ok(Outcome::Done)
            }
            CatalogVerb::Rebuild(asked) => catalog_rebuild::rebuild(*asked),
        }
    }
}

/// `snapferry catalog copy`.
///
/// # Errors
/// Whatever kept it from its work.
fn copy(from: &End, to: &End, format: ListFormat) -> Result<(), Failure> {
    let copied = run(async move { Ok(catalogs::copy(from, to).await?) })?;
    print(&shown_copy(&copied, format))
}

fn shown_copy(copied: &[Copied], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &["TABLE", "ROWS", "CHECKSUM"],
            copied.iter().map(|one| {
                vec![
                    one.table.to_owned(),
                    one.rows.to_string(),
                    one.checksum.clone(),
                ]
            }),
        ),
        ListFormat::Json => {
            lines_of_json(copied.iter().map(
                |one| json!({ "table": one.table, "rows": one.rows, "checksum": one.checksum }),
            ))
        }
    }
}
