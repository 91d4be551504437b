//! What is still to be mirrored into the vaults, in the order it was committed.
//!
//! It does not know what the bodies are.
use model::{Region, Timestamp};

use crate::{
    error::CatalogError,
    transaction::Tx,
    value::{Column, Ledger, args},
};

static LETTERS: Ledger = Ledger::new(
    "outbox",
    &[
        ("region", Column::Text),
        ("path", Column::Text),
        ("body", Column::Blob),
        ("at", Column::Int),
    ],
);

/// An object to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its place in the order.
    pub seq: i64,
    /// The region whose vault it goes to.
    pub region: Region,
    /// The object's path in that vault.
    pub path: String,
    /// The object's bytes.
    pub body: Vec<u8>,
}

/// How far the mirror is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Objects to be written.
    pub letters: u64,
    /// When the oldest of them was committed.
    pub oldest: Option<Timestamp>,
}

/// Adds an object, to be called in the transaction that writes the record it mirrors.
///
/// # Errors
/// The database's.
pub fn push(tx: &mut dyn Tx, region: &Region, path: &str, body: &[u8]) -> Result<(), CatalogError> {
    let now = tx.now();
    tx.append(&LETTERS, args![region, path, body, now])
}

/// The oldest letters; they stay until [`done`]. At most `limit`.
///
/// # Errors
/// The database's.
pub fn take(tx: &mut dyn Tx, limit: usize) -> Result<Vec<Letter>, CatalogError> {
    let rows = tx.query(
        "SELECT seq, region, path, body FROM outbox ORDER BY seq LIMIT ?1",
        args![limit],
    )?;
    rows.iter()
        .map(|row| {
            Ok(Letter {
                seq: row.int(0)?,
                region: row.parsed(1)?,
                path: row.text(2)?.to_owned(),
                body: row.blob(3)?.to_vec(),
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
