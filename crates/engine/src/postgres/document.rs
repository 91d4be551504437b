//! A dump's description of itself, kept beside its files.
//!
//! It is read back from snapshots of any owner, so nothing in it is trusted without a check.
use std::collections::BTreeMap;

use model::LogPlace;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{control::Control, page::PAGE_BYTES};
use crate::EngineError;

/// The engine's name in documents.
const ENGINE: &str = "postgres";
/// Bytes of a document at most.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// How the files were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Method {
    /// From under a running server, between backup start and stop.
    Online,
    /// From a cluster that was shut down.
    Stopped,
}

/// A dump's description of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) engine: String,
    /// Drawn for each dump; none in those of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dump: Option<Uuid>,
    pub(super) version: String,
    pub(super) major: u32,
    pub(super) method: Method,
    pub(super) catalog_version: u32,
    /// As text: JSON numbers lose precision in some readers.
    pub(super) system_identifier: String,
    pub(super) wal_segment_bytes: u32,
    pub(super) page_bytes: u32,
    pub(super) timeline: u32,
    pub(super) start_lsn: String,
    pub(super) stop_lsn: String,
    /// The C library that sorted text, such as `glibc 2.36`.
    #[serde(default)]
    pub(super) libc: Option<String>,
    /// The version of ICU's collations.
    #[serde(default)]
    pub(super) icu_collation: Option<String>,
    /// Files of unlogged relations that were left out: those relations are empty after a load.
    #[serde(default)]
    pub(super) unlogged_files_left_out: u64,
    /// Names of databases by their numbers, some at least; none of a cluster that was shut down.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) databases: BTreeMap<String, String>,
}

/// What the server's side adds to pg_control's.
pub(super) struct Circumstances {
    pub(super) dump: Option<Uuid>,
    pub(super) version: String,
    pub(super) major: u32,
    pub(super) method: Method,
    pub(super) start_lsn: u64,
    pub(super) stop_lsn: u64,
    pub(super) libc: Option<String>,
    pub(super) icu_collation: Option<String>,
    pub(super) unlogged_files_left_out: u64,
    pub(super) databases: BTreeMap<String, String>,
}

impl Document {
    pub(super) fn new(control: &Control, about: Circumstances) -> Self {
        Self {
            engine: ENGINE.to_owned(),
            dump: about.dump,
            version: about.version,
            major: about.major,
            method: about.method,
            catalog_version: control.catalog_version,
            system_identifier: control.system_identifier.to_string(),
            wal_segment_bytes: control.wal_segment_bytes,
            page_bytes: control.page_bytes,
            timeline: control.timeline,
            start_lsn: lsn_text(about.start_lsn),
            stop_lsn: lsn_text(about.stop_lsn),
            libc: about.libc,
            icu_collation: about.icu_collation,
            unlogged_files_left_out: about.unlogged_files_left_out,
            databases: about.databases,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain fields become JSON")
    }

    /// Reads a document and checks what does not need the files.
    pub(super) fn parse(text: &str) -> Result<Self, EngineError> {
        if DOCUMENT_BYTES_MAX < text.len() {
            return Err(EngineError::bad_dump("its document is too long"));
        }
        let document: Self = serde_json::from_str(text)
            .map_err(|error| EngineError::bad_dump(format!("its document: {error}")))?;
        if document.engine != ENGINE {
            return Err(EngineError::bad_dump("it is of another engine"));
        }
        if document.page_bytes as usize != PAGE_BYTES {
            return Err(EngineError::bad_dump("its pages are not of 8 KiB"));
        }
        Ok(document)
    }

    /// Where the log of the dump begins and stops; none when that is not said.
    pub(super) fn places(&self) -> Option<(u64, u64)> {
        Some((lsn_of(&self.start_lsn)?, lsn_of(&self.stop_lsn)?))
    }

    /// Where in its cluster's log the dump lies: from the beginning of the file on that its own log
    /// begins in.
    pub(super) fn in_log(&self) -> Option<(LogPlace, LogPlace)> {
        let (start, stop) = self.places()?;
        let bytes = u64::from(self.wal_segment_bytes);
        let at = |position| LogPlace {
            timeline: self.timeline,
            position,
        };
        (0 < bytes).then(|| (at(start - start % bytes), at(stop)))
    }

    /// Whether pg_control describes the same cluster.
    pub(super) fn agrees_with(&self, control: &Control) -> Result<(), EngineError> {
        let pairs = [
            (
                self.system_identifier == control.system_identifier.to_string(),
                "system identifier",
            ),
            (
                self.catalog_version == control.catalog_version,
                "catalog version",
            ),
            (
                self.wal_segment_bytes == control.wal_segment_bytes,
                "size of WAL segments",
            ),
            (self.page_bytes == control.page_bytes, "page size"),
            (control.checksums, "page checksums"),
        ];
        match pairs.iter().find(|(same, _)| !same) {
            Some((_, what)) => Err(EngineError::bad_dump(format!(
                "pg_control and the document differ in the {what}"
            ))),
            None => Ok(()),
        }
    }
}

/// The databases' names by their numbers, as far as a document has them.
pub(super) fn database_names(text: &str) -> BTreeMap<String, String> {
    Document::parse(text).map_or_else(|_| BTreeMap::new(), |document| document.databases)
}

/// `16/B374D848`, as PostgreSQL writes places in the log.
pub(super) fn lsn_text(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}

/// Reads what [`lsn_text`] writes.
pub(super) fn lsn_of(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let part = |text: &str| u32::from_str_radix(text, 16).ok();
    Some(u64::from(part(high)?) << 32 | u64::from(part(low)?))
}
