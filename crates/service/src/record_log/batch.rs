//! Batches: what the record log writes into a vault, and how it is named, sealed and read again.
//!
//! It does not know when one is written.
//!
//! A batch is `records/<position>.<uuid>`: JSON lines, a record's state each, sealed by the master
//! key and bound to its path. The position is the highest version that was drawn when its states
//! were read, so positions rise with time.
use std::sync::Arc;

use catalog::recorded::Recorded;
use kms::{MasterKey, OpenError};
use model::{Entropy, limits::echo};
use serde::{Deserialize, Serialize};
use vault::{
    Vault, VaultError,
    records::{RECORD_BYTES_MAX, open_record, put_record},
};
use zeroize::Zeroizing;

/// The folder of batches, checkpoints and marks.
pub const FOLDER: &str = "records";
/// The folder of keys that were logged before their commit.
pub const KEYS_FOLDER: &str = "keys";
/// A batch is closed once it has this many bytes, before sealing: half of what a record may have,
/// so that the line that fills it still fits.
pub const BATCH_BYTES: usize = RECORD_BYTES_MAX / 2;
/// What sealed records are bound to beside their path.
const PURPOSE: &str = "record";

/// A record's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The record's path.
    pub path: String,
    /// Of two states of a record, the one of the higher version is newer.
    pub version: u64,
    /// The position at which the state was read; decides between equal versions.
    pub as_of: u64,
    /// None: it was deleted.
    pub record: Option<Recorded>,
}

impl Line {
    /// What decides which of two lines about a record is newer.
    pub fn rank(&self) -> (u64, u64, bool) {
        (self.version, self.as_of, self.record.is_none())
    }
}

/// Why an object of the record log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The store fails.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It is gone.
    #[error("{0} is not there")]
    Missing(String),
    /// Altered, moved, or sealed by another master key.
    #[error("{path} does not open")]
    Sealed {
        /// Its path.
        path: String,
        source: OpenError,
    },
    /// It opens and says nothing that is known.
    #[error("{path} does not read as {what}")]
    Form {
        /// Its path.
        path: String,
        /// What it should be.
        what: &'static str,
        source: serde_json::Error,
    },
}

/// Seals and opens objects of the record log, each bound to its path.
#[derive(Debug, Clone)]
pub struct Seal(Arc<MasterKey>);

impl Seal {
    /// With a deployment's master key.
    pub fn new(master_key: Arc<MasterKey>) -> Self {
        Self(master_key)
    }

    /// Writes an object; it is durable when this returns.
    ///
    /// # Errors
    /// The vault's.
    pub async fn put(&self, vault: &Vault, path: &str, plain: &[u8]) -> Result<(), VaultError> {
        put_record(vault, path, self.0.seal(PURPOSE, path, plain).into()).await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// `BatchError`.
    pub async fn get(&self, vault: &Vault, path: &str) -> Result<Zeroizing<Vec<u8>>, BatchError> {
        let open = |sealed: &[u8]| self.0.open(PURPOSE, path, sealed);
        open_record(vault, path, open)
            .await?
            .ok_or_else(|| BatchError::Missing(path.to_owned()))?
            .map_err(|source| BatchError::Sealed {
                path: path.to_owned(),
                source,
            })
    }

    /// Reads an object that is one JSON document.
    ///
    /// # Errors
    /// `BatchError`.
    pub async fn document<T: serde::de::DeserializeOwned>(
        &self,
        vault: &Vault,
        path: &str,
        what: &'static str,
    ) -> Result<T, BatchError> {
        let plain = self.get(vault, path).await?;
        serde_json::from_slice(&plain).map_err(|source| form(path, what, source))
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// `BatchError`.
    pub async fn lines(&self, vault: &Vault, path: &str) -> Result<Vec<Line>, BatchError> {
        let plain = self.get(vault, path).await?;
        plain
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line)
                    .map_err(|source| form(path, "lines of the record log", source))
            })
            .collect()
    }
}

fn form(path: &str, what: &'static str, source: serde_json::Error) -> BatchError {
    BatchError::Form {
        path: path.to_owned(),
        what,
        source,
    }
}

/// What an object under [`FOLDER`] is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// States as of a position.
    Batch(u64),
    /// The end of a checkpoint that began at a position.
    Checkpoint(u64),
    /// Whose vault it is, by generation.
    Owner(u64),
}

impl Named {
    /// Reads an object's path; none for what is no object of the record log.
    pub fn parse(path: &str) -> Option<Self> {
        let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
        let (head, rest) = name.split_once('.')?;
        let number = |digits: &str| digits.parse().ok();
        match head {
            "checkpoint" => number(rest.split_once('.')?.0).map(Self::Checkpoint),
            "owner" => number(rest.split_once('.')?.0).map(Self::Owner),
            digits => number(digits).map(Self::Batch),
        }
    }

    /// A new path for such an object.
    pub fn path(self, entropy: &dyn Entropy) -> String {
        let uuid = entropy.uuid();
        match self {
            Self::Batch(position) => format!("{FOLDER}/{position:020}.{uuid}"),
            Self::Checkpoint(position) => format!("{FOLDER}/checkpoint.{position:020}.{uuid}"),
            Self::Owner(generation) => format!("{FOLDER}/owner.{generation:010}.{uuid}"),
        }
    }
}

/// Lays lines into batches and writes each one that is full.
pub struct Packer<'a> {
    seal: &'a Seal,
    vault: &'a Vault,
    entropy: &'a dyn Entropy,
    position: u64,
    open: Vec<u8>,
    written: Vec<String>,
}

impl std::fmt::Debug for Packer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packer of {} batches", self.written.len())
    }
}

impl<'a> Packer<'a> {
    /// Batches of a position.
    pub fn new(seal: &'a Seal, vault: &'a Vault, entropy: &'a dyn Entropy, position: u64) -> Self {
        Self {
            seal,
            vault,
            entropy,
            position,
            open: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The vault's.
    pub async fn add(&mut self, line: &Line) -> Result<(), VaultError> {
        let text = serde_json::to_vec(line).expect("records serialize");
        if RECORD_BYTES_MAX - BATCH_BYTES < text.len() {
            return Err(VaultError::BadPath {
                path: echo(&line.path),
                why: "names a record that is too large for the record log",
            });
        }
        self.open.extend_from_slice(&text);
        self.open.push(b'\n');
        if BATCH_BYTES <= self.open.len() {
            self.close().await?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), VaultError> {
        let path = Named::Batch(self.position).path(self.entropy);
        let lines = std::mem::take(&mut self.open);
        self.seal.put(self.vault, &path, &lines).await?;
        self.written.push(path);
        Ok(())
    }

    /// Writes what is left; answers the paths of all batches.
    ///
    /// # Errors
    /// The vault's.
    pub async fn finish(mut self) -> Result<Vec<String>, VaultError> {
        if !self.open.is_empty() {
            self.close().await?;
        }
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use model::SystemEntropy;

    use vault::records::get_record;

    use super::*;

    #[test]
    fn names_say_what_they_name() {
        for named in [Named::Batch(7), Named::Checkpoint(8), Named::Owner(9)] {
            assert_eq!(Named::parse(&named.path(&SystemEntropy)), Some(named));
        }
        for other in [
            "records/x.y",
            "records/owner.1",
            "records/7",
            "keys/7.x",
            "records/owner",
        ] {
            assert_eq!(Named::parse(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn batches_hold_every_line_and_open_only_at_their_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = Vault::local_folder(folder.path()).expect("a vault");
        let seal = Seal::new(Arc::new(MasterKey::generate()));
        let line = |number: u64| Line {
            path: format!("notes/{number}"),
            version: number,
            as_of: 9,
            record: Some(Recorded::of(&catalog::meta::Note {
                name: number.to_string(),
                value: "x".repeat(BATCH_BYTES / 3),
            })),
        };
        let mut packer = Packer::new(&seal, &vault, &SystemEntropy, 9);
        for number in 0..10 {
            packer.add(&line(number)).await.expect("added");
        }
        let paths = packer.finish().await.expect("written");
        assert!(2 < paths.len());
        let mut found = Vec::new();
        for path in &paths {
            found.extend(seal.lines(&vault, path).await.expect("read"));
        }
        assert_eq!(found, (0..10).map(line).collect::<Vec<_>>());
        let sealed = get_record(&vault, &paths[0])
            .await
            .expect("read")
            .expect("there");
        let elsewhere = Named::Batch(9).path(&SystemEntropy);
        put_record(&vault, &elsewhere, sealed)
            .await
            .expect("written");
        let moved = seal.lines(&vault, &elsewhere).await;
        assert!(matches!(moved, Err(BatchError::Sealed { .. })), "{moved:?}");
        let mut huge = line(1);
        huge.path = "x".repeat(RECORD_BYTES_MAX);
        let mut packer = Packer::new(&seal, &vault, &SystemEntropy, 9);
        assert!(packer.add(&huge).await.is_err());
    }
}
