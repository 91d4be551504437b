//! The verbs beside the server: jobs, the list of actions, and what all verbs share.
//!
//! It does not know whether a server runs.
use std::{
    io::{self, Write},
    sync::Arc,
};

use catalog::Catalog;
use service::Mode;

use crate::{
    commands::{arguments::Folder, failure::Failure},
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

/// An array with an element a line, which people and `grep` can read as well.
pub(crate) fn lines_of_json(values: impl Iterator<Item = serde_json::Value>) -> String {
    let lines: Vec<String> = values.map(|value| format!("  {value}")).collect();
    if lines.is_empty() {
        "[]\n".to_owned()
    } else {
        format!("[\n{}\n]\n", lines.join(",\n"))
    }
}

/// Words and what stands for them, one a line, in two columns.
pub(crate) fn pairs(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(word, _)| word.chars().count()).max();
    let width = width.unwrap_or(0);
    let line = |(word, value): &(&str, String)| format!("{word:<width$}  {}\n", one_line(value));
    lines.iter().map(line).collect()
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
    use serde_json::json;

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
