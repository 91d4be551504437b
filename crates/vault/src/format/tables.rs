//! The clear part of a manifest: what a snapshot reaches, readable without any key.
//!
//! It does not know what the sealed part says.
use std::collections::HashSet;

use model::Hash;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        cursor::{Cursor, put_count},
        head::{HEAD_BYTES, Head, VolumeTag, bytes_max},
    },
};

const ROW_BYTES: usize = 32 + 8;

/// An object that a manifest reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) hash: Hash,
    pub(crate) size: u64,
}

/// The clear part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) head: Head,
    pub(crate) lists: Vec<Reached>,
    pub(crate) packs: Vec<Reached>,
    /// The bytes of head and tables.
    pub(crate) end: usize,
}

impl Tables {
    /// Reads the clear part of a manifest whose hash was checked, without any key.
    ///
    /// # Errors
    /// When it is no manifest of this volume or breaks a rule.
    pub(crate) fn parse(hash: Hash, bytes: &[u8], volume: VolumeTag) -> Result<Self, VaultError> {
        let object = object(hash);
        let head = Head::parse(bytes, object, volume)?;
        let mut cursor = Cursor(&bytes[HEAD_BYTES..]);
        let mut table = |kind| -> Option<Vec<Reached>> {
            let count = cursor.count(ROW_BYTES)?;
            let mut seen = HashSet::with_capacity(count);
            let rows = (0..count).map(|_| {
                let row = Reached {
                    hash: Hash(cursor.array()?),
                    size: cursor.u64()?,
                };
                let sane = HEAD_BYTES as u64 <= row.size && row.size <= bytes_max(kind) as u64;
                (sane && seen.insert(row.hash)).then_some(row)
            });
            rows.collect()
        };
        let tables = (table(ObjectKind::List), table(ObjectKind::Pack));
        let (Some(lists), Some(packs)) = tables else {
            return Err(VaultError::damaged(
                object,
                "its tables are not of format 1",
            ));
        };
        Ok(Self {
            head,
            end: bytes.len() - cursor.0.len(),
            lists,
            packs,
        })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let rows = self.lists.len() + self.packs.len();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + 8 + ROW_BYTES * rows);
        bytes.extend_from_slice(&self.head.to_bytes());
        for table in [&self.lists, &self.packs] {
            put_count(&mut bytes, table.len());
            for row in table {
                bytes.extend_from_slice(&row.hash.0);
                bytes.extend_from_slice(&row.size.to_le_bytes());
            }
        }
        bytes
    }

    /// Bytes of all lists and packs.
    pub(crate) fn reached_bytes(&self) -> u64 {
        self.lists
            .iter()
            .chain(&self.packs)
            .map(|row| row.size)
            .sum()
    }
}

/// The manifest of that hash, as errors name it.
pub(crate) fn object(hash: Hash) -> ObjectId {
    ObjectId {
        kind: ObjectKind::Manifest,
        hash,
    }
}
