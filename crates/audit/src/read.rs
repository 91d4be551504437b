//! Records as they are read back, the newest first.
//!
//! It does not check the chain: that is `verify`'s.
use std::{fs, io, ops::ControlFlow, path::Path};

use serde_json::Value;

use crate::chain::{Link, files};

/// Where a look stands: what is older than this record was not looked at yet.
pub type Before = u64;

/// Shows whole lines to `look`, the newest first, from the one before `before` on, until it breaks off,
/// `bytes_max` are read, or none is left. Answers where to go on; none at the end.
///
/// # Errors
/// When the folder or a file cannot be read. A file that was removed meanwhile is the end.
pub fn newest_first(
    folder: &Path,
    before: Option<Before>,
    bytes_max: usize,
    mut look: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<Option<Before>> {
    let mut read = 0;
    for (first, path) in files(folder)?.into_iter().rev() {
        if before.is_some_and(|before| before <= first) {
            continue;
        }
        if bytes_max <= read {
            // All of the newer files was looked at.
            return next_file(folder, first);
        }
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        read += text.len();
        // What follows the last line's end is being written.
        let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        for line in text[..end].rsplit(|byte| *byte == b'\n') {
            let Some(link) = Link::of(line) else { continue };
            if before.is_some_and(|before| before <= link.seq) {
                continue;
            }
            if look(line).is_break() {
                return Ok(Some(link.seq));
            }
        }
    }
    Ok(None)
}

/// The number of the first record behind a file.
fn next_file(folder: &Path, first: u64) -> io::Result<Option<Before>> {
    let found = files(folder)?;
    Ok(found
        .into_iter()
        .map(|(one, _)| one)
        .find(|one| first < *one))
}

/// A line's record, without its place in the chain.
pub fn record(line: &[u8]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(line).ok()?;
    value.as_object_mut()?.remove("snapferry");
    Some(value)
}
