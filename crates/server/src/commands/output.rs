//! The verbs beside the server: jobs, the list of actions, and what all verbs share.
//!
//! It does not know whether a server runs.
use std::{
    io::{self, Write},
    sync::Arc,
};

use catalog::{Catalog, CatalogExt, jobs};
use model::Job;
use serde_json::json;
use service::{Mode, clusters::authority};

use crate::{
    commands::{
        cli::{CaVerb, Folder, JobVerb, ListFormat},
        failure::Failure,
    },
    deployment::{
        catalogs,
        data_dir::{DataDir, default_path},
    },
};

/// Rows of a list at most.
pub(crate) const ROWS_MAX: usize = 10_000;

/// The catalog that a verb about accounts and keys works on: the shared one, else the folder's.
///
/// # Errors
/// The catalog's, or that the folder needs no keys.
pub(crate) fn closed_catalog(folder: &Folder) -> Result<Arc<dyn Catalog>, Failure> {
    Ok(match &folder.shared.catalog {
        Some(url) => catalogs::open_shared(url)?,
        None => catalogs::open(&closed(folder)?, None)?,
    })
}

/// `snapferry actions`.
///
/// # Errors
/// When standard output does not take it.
pub(crate) fn actions(all: bool, format: ListFormat) -> Result<(), Failure> {
    let mut rows: Vec<(&str, &str, bool)> = Vec::new();
    for (api, names) in api::KNOWN {
        for name in *names {
            let implemented = api::find(Some(*api), name).is_some();
            if implemented || all {
                rows.push((api.as_str(), name, implemented));
            }
        }
    }
    let word = |implemented| if implemented { "yes" } else { "no" };
    print(&match format {
        ListFormat::Text => table(
            &["API", "ACTION", "IMPLEMENTED"],
            rows.iter().map(|(api, name, implemented)| {
                vec![
                    (*api).to_owned(),
                    (*name).to_owned(),
                    word(*implemented).to_owned(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(rows.iter().map(|(api, name, implemented)| {
            json!({ "api": api, "action": name, "implemented": implemented })
        })),
    })
}

/// `snapferry job ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn job(verb: JobVerb) -> Result<(), Failure> {
    let JobVerb::List {
        folder,
        dev,
        format,
    } = verb;
    let mode = if dev { Mode::Dev } else { Mode::Closed };
    let catalog = match &folder.shared.catalog {
        Some(url) => catalogs::open_shared(url)?,
        None => catalogs::open(&attach(&folder, mode)?, None)?,
    };
    let jobs = run(async move { Ok(catalog.read(|tx| jobs::list(tx, None, ROWS_MAX)).await?) })?;
    print(&shown_jobs(&jobs, format))
}

/// `snapferry ca ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn ca(verb: &CaVerb) -> Result<(), Failure> {
    let CaVerb::Export { folder, dev } = verb;
    let mode = if *dev { Mode::Dev } else { Mode::Closed };
    let catalog = match &folder.shared.catalog {
        Some(url) => catalogs::open_shared(url)?,
        None => catalogs::open(&attach(folder, mode)?, None)?,
    };
    let certificate = run(async { Ok(authority::certificate(&*catalog).await?) })?;
    print(&certificate.ok_or(Failure::NoAuthority)?)
}

/// The folder that is named, else the default one of a mode.
pub(crate) fn attach(folder: &Folder, mode: Mode) -> Result<DataDir, Failure> {
    Ok(match &folder.data {
        Some(path) => DataDir::attach(path)?,
        None => DataDir::attach(&default_path(mode)?)?,
    })
}

pub(crate) fn closed(folder: &Folder) -> Result<DataDir, Failure> {
    let dir = attach(folder, Mode::Closed)?;
    match dir.mode() {
        Mode::Closed => Ok(dir),
        Mode::Dev => Err(Failure::DevHasNoKeys(dir.path().to_owned())),
    }
}

pub(crate) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Io {
            doing: "start",
            source,
        })?
        .block_on(work)
}

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader, such as `head`, has seen enough.
        Err(source) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Failure::Io {
            doing: "write to standard output",
            source,
        }),
        Ok(()) => Ok(()),
    }
}

fn shown_jobs(jobs: &[Job], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &[
                "CREATED",
                "KIND",
                "STATE",
                "DONE",
                "REGION",
                "ACCOUNT",
                "SUBJECT",
                "TRIES",
                "LAST ERROR",
            ],
            jobs.iter().map(|job| {
                vec![
                    job.created_at.to_rfc3339_secs(),
                    job.kind.as_str().to_owned(),
                    job.state.as_str().to_owned(),
                    done(job),
                    job.region.to_string(),
                    job.account.to_string(),
                    job.subject.clone(),
                    job.attempts.to_string(),
                    job.error.clone().unwrap_or_default(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(jobs.iter().map(|job| {
            json!({
                "id": job.id.to_string(),
                "kind": job.kind.as_str(),
                "state": job.state.as_str(),
                "node": job.node,
                "runner": job.lease_owner,
                "region": job.region.as_str(),
                "account": job.account.as_str(),
                "subject": job.subject,
                "attempts": job.attempts,
                "created_at": job.created_at.to_rfc3339_micros(),
                "progress": {
                    "bytes_total": job.progress.bytes_total,
                    "bytes_done": job.progress.bytes_done,
                    "bytes_shipped": job.progress.bytes_shipped,
                    "objects_shipped": job.progress.objects_shipped,
                    "bytes_held": job.progress.bytes_held,
                },
                "error": job.error,
            })
        })),
    }
}

fn done(job: &Job) -> String {
    match job.state {
        model::JobState::Done => "100%".to_owned(),
        _ if job.progress.bytes_total == 0 => String::new(),
        _ => format!("{}%", job.progress.percent()),
    }
}

/// An array with an element a line, which people and `grep` can read as well.
pub(crate) fn lines_of_json(values: impl Iterator<Item = serde_json::Value>) -> String {
    let lines: Vec<String> = values.map(|value| format!("  {value}")).collect();
    if lines.is_empty() {
        "[]\n".to_owned()
    } else {
        format!("[\n{}\n]\n", lines.join(",\n"))
    }
}

/// Columns as wide as their widest cell; the last one is not padded.
pub(crate) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![
        head.iter()
            .map(|cell| (*cell).to_owned())
            .collect::<Vec<_>>(),
    ];
    lines.extend(rows.map(|row| row.iter().map(|cell| one_line(cell)).collect()));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A cell without what would break the table or the terminal.
fn one_line(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_cells_stay_on_their_line() {
        let rows = vec![
            vec!["1".to_owned(), "a\nb\u{1b}".to_owned()],
            vec!["222".to_owned(), "é".to_owned()],
        ];
        assert_eq!(
            table(&["A", "LAST"], rows.into_iter()),
            "A    LAST\n1    a b\n222  é\n"
        );
    }

    #[test]
    fn a_list_is_json_also_when_it_is_empty() {
        for count in 0..3 {
            let text = lines_of_json((0..count).map(|n| json!({ "n": n })));
            let read: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
            assert_eq!(read.len(), count);
        }
    }
}
