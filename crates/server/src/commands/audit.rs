//! The verb about the records of who changed what.
//!
//! It does not know how they are written; the folder's files tell.
use clap::{Args, Subcommand};

use audit::{Known, Report, verify};
use catalog::{CatalogExt, meta};
use service::{Mode, audit_trail};

use crate::{
    commands::{
        arguments::{Folder, Format},
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{attach, print, run},
    },
    deployment::catalogs,
    units::counted,
};

/// Check the records of who changed what, and what was denied
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry audit verify\n  \
    snapferry audit verify --data /srv/snapferry --format json"
)]
pub(crate) struct Audit {
    #[command(subcommand)]
    verb: AuditVerb,
}

/// `snapferry audit ...`.
#[derive(Debug, Subcommand)]
enum AuditVerb {
    /// Find records that were removed, altered, moved or cut off
    ///
    /// Each record has the hash of the one before, and the catalog knows where they begin and end: what was
    /// cut off is found but for what was written in the last 15 seconds. The server may run meanwhile.
    /// Exits with 3 when something is found.
    #[command(after_help = "Examples:\n  \
        snapferry audit verify\n  \
        snapferry audit verify --data /srv/snapferry --format json")]
    Verify {
        #[command(flatten)]
        folder: Folder,
        /// Look into the default data folder of `snapferry serve --dev`
        #[arg(long, conflicts_with = "data")]
        dev: bool,
        #[command(flatten)]
        format: Format,
    },
}

impl Run for Audit {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let AuditVerb::Verify {
            folder,
            dev,
            format,
        } = self.verb;
        let mode = if dev { Mode::Dev } else { Mode::Closed };
        let report = look(&folder, mode)?;
        print(&shown(&report, format))?;
        Ok(Outcome::of(!report.findings.is_empty()))
    }
}

/// Reads what the catalog knows, then the files, which may have more.
fn look(folder: &Folder, mode: Mode) -> Result<Report, Failure> {
    let dir = attach(folder, mode)?;
    let node = catalogs::node_of(&dir, None)?.name;
    let catalog = match &folder.shared.catalog {
        Some(url) => catalogs::open_shared(url)?,
        None => catalogs::open(&dir, None)?,
    };
    let fact = audit_trail::fact(&node);
    let read = async move { Ok(catalog.read(move |tx| meta::get(tx, &fact)).await?) };
    let text = run(read)?;
    let known = text.and_then(|text| serde_json::from_str::<Known>(&text).ok());
    verify(&dir.audit(), known.unwrap_or_default()).map_err(|source| Failure::Io {
        doing: "read the audit log",
        source,
    })
}

fn shown(report: &Report, format: Format) -> String {
    if format == Format::Json {
        let value = serde_json::to_value(report).expect("plain texts and numbers serialize");
        return format!("{value:#}\n");
    }
    let records = counted(report.records, "record");
    let files = counted(report.files as u64, "file");
    let mut text = match (report.first, report.last) {
        (Some(first), Some(last)) => format!("{records} in {files}, from {first} to {last}\n"),
        _ => "no records\n".to_owned(),
    };
    if 0 < report.omitted {
        let omitted = counted(report.omitted, "record");
        text.push_str(&format!("{omitted} were left out, as the others say\n"));
    }
    for finding in &report.findings {
        let file = finding.file.display();
        match finding.line {
            0 => text.push_str(&format!("{file}: {}\n", finding.why)),
            line => text.push_str(&format!("{file}:{line}: {}\n", finding.why)),
        }
    }
    let end = match report.findings.is_empty() {
        true => "nothing was removed, altered or moved\n",
        false => "they are not as they were written\n",
    };
    text + end
}
