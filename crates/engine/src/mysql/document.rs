//! A dump's description of itself, kept beside its files.
//!
//! It is read back from snapshots of any owner, so nothing in it is trusted without a check.
use serde::{Deserialize, Serialize};

use super::page::PAGE_BYTES;
use crate::EngineError;

/// The engine's name in documents.
const ENGINE: &str = "mysql";
/// The format of the redo log.
const REDO_FORMAT: u32 = 6;
/// Bytes of a document at most; the transactions' numbers of a long life take some.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// How the files were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Method {
    /// From under a running server, which kept its redo log meanwhile.
    Online,
    /// From a cluster that was shut down.
    Stopped,
}

/// A dump's description of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) engine: String,
    pub(super) version: String,
    /// What all versions have in common that read these files, such as `9.7`.
    pub(super) series: String,
    pub(super) method: Method,
    pub(super) page_bytes: u32,
    pub(super) redo_format: u32,
    /// Where recovery begins, as text: JSON numbers lose precision in some readers.
    pub(super) checkpoint_lsn: String,
    /// How far recovery must get.
    pub(super) end_lsn: String,
    /// Files of tablespaces: a server does not miss one that is not there.
    pub(super) tablespace_files: u64,
    /// The transactions that were there when it was begun, where the server numbers them: all of them are in it.
    #[serde(default)]
    pub(super) gtid_executed: String,
}

/// What the server's side says of a dump.
#[derive(Debug)]
pub(super) struct Circumstances {
    pub(super) version: String,
    pub(super) series: String,
    pub(super) method: Method,
    pub(super) places: Places,
    pub(super) tablespace_files: u64,
    pub(super) gtid_executed: String,
}

/// Where the log of a dump begins and must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) checkpoint: u64,
    pub(super) end: u64,
}

impl Document {
    pub(super) fn new(about: Circumstances) -> Self {
        Self {
            engine: ENGINE.to_owned(),
            version: about.version,
            series: about.series,
            method: about.method,
            page_bytes: u32::try_from(PAGE_BYTES).expect("16 KiB"),
            redo_format: REDO_FORMAT,
            checkpoint_lsn: about.places.checkpoint.to_string(),
            end_lsn: about.places.end.to_string(),
            tablespace_files: about.tablespace_files,
            gtid_executed: about.gtid_executed,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain fields become JSON")
    }

    /// Reads a document and checks what does not need the files.
    pub(super) fn parse(text: &str) -> Result<(Self, Places), EngineError> {
        if DOCUMENT_BYTES_MAX < text.len() {
            return Err(EngineError::bad_dump("its document is too long"));
        }
        let document: Self = serde_json::from_str(text)
            .map_err(|error| EngineError::bad_dump(format!("its document: {error}")))?;
        if document.engine != ENGINE {
            return Err(EngineError::bad_dump("it is of another engine"));
        }
        if document.page_bytes as usize != PAGE_BYTES {
            return Err(EngineError::bad_dump("its pages are not of 16 KiB"));
        }
        if document.redo_format != REDO_FORMAT {
            return Err(EngineError::bad_dump("its redo log has another format"));
        }
        let places = document.places().ok_or_else(|| {
            EngineError::bad_dump("its document does not say where its log begins and ends")
        })?;
        Ok((document, places))
    }

    fn places(&self) -> Option<Places> {
        let places = Places {
            checkpoint: self.checkpoint_lsn.parse().ok()?,
            end: self.end_lsn.parse().ok()?,
        };
        (places.checkpoint != 0 && places.checkpoint <= places.end).then_some(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        Document::new(Circumstances {
            version: "9.7.4".to_owned(),
            series: "9.7".to_owned(),
            method: Method::Online,
            places: Places {
                checkpoint: u64::MAX - 1,
                end: u64::MAX,
            },
            tablespace_files: 3,
            gtid_executed: String::new(),
        })
    }

    #[test]
    fn a_document_comes_back_and_a_wrong_one_does_not() {
        let good = document();
        let (read, places) = Document::parse(&good.to_json()).expect("as it was");
        assert_eq!((read, places.end), (good.clone(), u64::MAX));
        let wrong: [fn(&mut Document); 6] = [
            |d| d.engine = "postgres".to_owned(),
            |d| d.page_bytes = 8192,
            |d| d.redo_format = 5,
            |d| d.end_lsn = "1".to_owned(),
            |d| d.end_lsn = "16/B374D848".to_owned(),
            |d| d.checkpoint_lsn = "0".to_owned(),
        ];
        for (case, change) in wrong.iter().enumerate() {
            let mut document = good.clone();
            change(&mut document);
            let refused = Document::parse(&document.to_json());
            assert!(
                matches!(refused, Err(EngineError::BadDump { .. })),
                "{case}: {refused:?}"
            );
        }
        assert!(Document::parse(&" ".repeat(DOCUMENT_BYTES_MAX + 1)).is_err());
    }
}
