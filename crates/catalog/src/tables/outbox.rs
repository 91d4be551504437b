//! Which records are still to be written to the record log, in the order they were changed.
//!
//! It does not know what a record is: an entry only names one. The functions that write a table's
//! rows push its entries, so no caller can forget them.
use model::{Region, Timestamp};

use crate::{
    error::CatalogError,
    transaction::{Touched, Tx},
    value::{AppendTable, Column, args},
};

static ENTRIES: AppendTable = AppendTable::new(
    "outbox",
    &[
        ("region", Column::Text),
        ("path", Column::Text),
        ("version", Column::Int),
        ("at", Column::Int),
    ],
);

/// A record that was changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its place in the order.
    pub seq: i64,
    /// The region whose vault it goes to; none for records of no region.
    pub region: Option<Region>,
    /// The record's path.
    pub path: String,
    /// Rises with every change of the record, its deletion included.
    pub version: u64,
}

/// How far the record log is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Entries to be written.
    pub entries: u64,
    /// When the oldest of them was committed.
    pub oldest: Option<Timestamp>,
}

/// Adds an entry, to be called in the transaction that changes the record.
pub(crate) fn push(
    tx: &mut dyn Tx,
    region: Option<&Region>,
    path: String,
    version: u64,
) -> Result<(), CatalogError> {
    let now = tx.now();
    let region = region.map_or("", Region::as_str);
    tx.touch(Touched::Records);
    tx.append(&ENTRIES, args![region, path, version, now])
}

/// The oldest entries; they stay until [`done`]. At most `limit`.
///
/// # Errors
/// The database's.
pub fn take(tx: &mut dyn Tx, limit: usize) -> Result<Vec<OutboxEntry>, CatalogError> {
    let rows = tx.query(
        "SELECT seq, region, path, version FROM outbox ORDER BY seq LIMIT ?1",
        args![limit],
    )?;
    rows.iter()
        .map(|row| {
            Ok(OutboxEntry {
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

/// Removes entries that were written; those that follow one another in one statement.
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

/// Removes all entries: for a catalog whose records came out of the record log.
///
/// # Errors
/// The database's.
pub fn clear(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM outbox", &[])?;
    Ok(())
}

/// How far the record log is behind.
///
/// # Errors
/// The database's.
pub fn lag(tx: &mut dyn Tx) -> Result<Lag, CatalogError> {
    let rows = tx.query("SELECT count(*), min(at) FROM outbox", &[])?;
    let Some(row) = rows.first() else {
        return Ok(Lag {
            entries: 0,
            oldest: None,
        });
    };
    Ok(Lag {
        entries: row.count(0)?,
        oldest: row.int_or_null(1)?.map(Timestamp),
    })
}
