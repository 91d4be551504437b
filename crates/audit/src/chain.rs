//! Lines that follow one another: each names its chain, its number, and the hash of the line before.
//!
//! Invariant: a line is never changed once it is written; its hash is that of its bytes without the
//! line's end.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

/// Of what the first line of a chain says that it is the line before.
pub(crate) const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The longest line; a longer one is none of ours.
pub(crate) const LINE_BYTES_MAX: u64 = 1 << 20;
const EXTENSION: &str = "jsonl";

/// Where a chain ends: kept elsewhere, it tells of lines that were cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Names the chain.
    pub chain: String,
    /// The last line's number; the first one's is 1.
    pub seq: u64,
    /// The last line's hash.
    pub hash: String,
}

/// What a line says of its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) chain: String,
    pub(crate) seq: u64,
    pub(crate) previous: String,
    /// Records of strangers that were left out since the line before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) omitted: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Deserialize)]
struct Line {
    snapferry: Link,
}

impl Link {
    /// Reads a line's; none when it is no line of ours.
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        Some(line.snapferry)
    }

    /// A record's line, without its end.
    pub(crate) fn line(&self, record: &str) -> String {
        let link = serde_json::to_string(self).expect("a link serializes");
        let open = record.strip_suffix('}').unwrap_or(record);
        format!("{open},\"snapferry\":{link}}}")
    }
}

pub(crate) fn hash_of(line: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, line).as_ref())
}

/// The name of the file whose first line has a number.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:016}.{EXTENSION}")
}

/// A chain's files by the numbers of their first lines, in order.
///
/// # Errors
/// When the folder cannot be listed.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|found| found == EXTENSION);
        let first = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(first) = first
            .and_then(|first| first.parse().ok())
            .filter(|_| is_ours)
        {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}
