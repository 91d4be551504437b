//! Which records are still to be mirrored into the vaults, in the order they were changed.
//!
//! It does not know what a record is: a letter only names one. The functions that write a
//! table's rows push its letters, so no caller can forget them.
use model::{Region, Timestamp};

use crate::{
    error::CatalogError,
    transaction::{Touched, Tx},
    value::{AppendTable, Column, args},
};

static LETTERS: AppendTable = AppendTable::new(
    "outbox",
    &[
        ("region", Column::Text),
        ("path", Column::Text),
        ("version", Column::Int),
        ("at", Column::Int),
    ],
);

/// A kind of record that the mirror carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Who there is.
    Account,
    /// A way in, its secret sealed.
    AccessKey,
    /// A fact about the deployment.
    Note,
    /// A KMS key, its material sealed.
    Key,
    /// A name for a KMS key.
    Alias,
    /// Leave to use a KMS key.
    Grant,
    /// A cluster.
    Cluster,
    /// A snapshot.
    Snapshot,
}

impl Kind {
    /// All, each behind those that it needs.
    pub const ALL: [Self; 8] = [
        Self::Account,
        Self::AccessKey,
        Self::Note,
        Self::Key,
        Self::Alias,
        Self::Grant,
        Self::Cluster,
        Self::Snapshot,
    ];

    /// The first part of its records' paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::AccessKey => "access-keys",
            Self::Note => "notes",
            Self::Key => "keys",
            Self::Alias => "aliases",
            Self::Grant => "grants",
            Self::Cluster => "clusters",
            Self::Snapshot => "snapshots",
        }
    }

    /// Whether its records belong to a region.
    pub fn is_regional(self) -> bool {
        !matches!(self, Self::Account | Self::AccessKey | Self::Note)
    }

    /// The path of a record: `<kind>/<region>/<parts>`, without a region where there is none.
    pub fn path(self, region: Option<&Region>, parts: &[&str]) -> String {
        let mut path = self.as_str().to_owned();
        for part in region.map(Region::as_str).iter().chain(parts) {
            path.push('/');
            path.push_str(part);
        }
        path
    }
}

/// A record that was changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its place in the order.
    pub seq: i64,
    /// The region whose vault it goes to; none for records of no region.
    pub region: Option<Region>,
    /// The record's path.
    pub path: String,
    /// Rises with every change of the record, its deletion included.
    pub version: u64,
}

/// How far the mirror is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Letters to be written.
    pub letters: u64,
    /// When the oldest of them was committed.
    pub oldest: Option<Timestamp>,
}

/// Adds a letter, to be called in the transaction that changes the record.
pub(crate) fn push(
    tx: &mut dyn Tx,
    kind: Kind,
    region: Option<&Region>,
    parts: &[&str],
    version: u64,
) -> Result<(), CatalogError> {
    let (now, path) = (tx.now(), kind.path(region, parts));
    let region = region.map_or("", Region::as_str);
    tx.touch(Touched::Records);
    tx.append(&LETTERS, args![region, path, version, now])
}

/// The same for a record that has no version of its own: one is drawn.
pub(crate) fn push_unversioned(
    tx: &mut dyn Tx,
    kind: Kind,
    region: Option<&Region>,
    parts: &[&str],
) -> Result<(), CatalogError> {
    let version = tx.next_version()?;
    push(tx, kind, region, parts, version)
}

/// The oldest letters; they stay until [`done`]. At most `limit`.
///
/// # Errors
/// The database's.
pub fn take(tx: &mut dyn Tx, limit: usize) -> Result<Vec<Letter>, CatalogError> {
    let rows = tx.query(
        "SELECT seq, region, path, version FROM outbox ORDER BY seq LIMIT ?1",
        args![limit],
    )?;
    rows.iter()
        .map(|row| {
            Ok(Letter {
                seq: row.int(0)?,
                region: match row.text(1)? {
                    "" => None,
                    _ => Some(row.parsed(1)?),
                },
                path: row.text(2)?.to_owned(),
                version: row.count(3)?,
            })
        })
        .collect()
}

/// Removes letters that were written; those that follow one another in one statement.
///
/// # Errors
/// The database's.
pub fn done(tx: &mut dyn Tx, seqs: &[i64]) -> Result<(), CatalogError> {
    for run in seqs.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        tx.execute(
            "DELETE FROM outbox WHERE ?1 <= seq AND seq <= ?2",
            args![*first, *last],
        )?;
    }
    Ok(())
}

/// Removes all letters: for a catalog whose records came out of the mirror.
///
/// # Errors
/// The database's.
pub fn clear(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM outbox", &[])?;
    Ok(())
}

/// How far the mirror is behind.
///
/// # Errors
/// The database's.
pub fn lag(tx: &mut dyn Tx) -> Result<Lag, CatalogError> {
    let rows = tx.query("SELECT count(*), min(at) FROM outbox", &[])?;
    let Some(row) = rows.first() else {
        return Ok(Lag {
            letters: 0,
            oldest: None,
        });
    };
    Ok(Lag {
        letters: row.count(0)?,
        oldest: row.int_or_null(1)?.map(Timestamp),
    })
}
