//! Vault objects that nothing needs: condemned, waited for, deleted.
//!
//! It does not know what reaches an object: the sweep does.
//!
//! Invariant: a condemned name counts as absent for every writer, and a deleted one is never
//! used again; otherwise a late delete could hit an object that a new snapshot relies on.
use std::{collections::HashSet, time::Duration};

use model::{Region, Timestamp};

use crate::{error::CatalogError, transaction::Tx, value::args};

/// Condemns objects; those that are condemned already keep their time. Answers how many are new.
///
/// # Errors
/// The database's.
pub fn condemn(tx: &mut dyn Tx, region: &Region, paths: &[String]) -> Result<u64, CatalogError> {
    let now = tx.now();
    let mut added = 0;
    for path in paths {
        added += tx.execute(
            "INSERT INTO condemned (region, path, condemned_at) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO NOTHING",
            args![region, path, now],
        )?;
    }
    Ok(added)
}

/// The names below `prefix` that count as absent: condemned ones, and deleted ones.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut dyn Tx,
    region: &Region,
    prefix: &str,
) -> Result<HashSet<String>, CatalogError> {
    // Paths are ASCII, so no path below the prefix sorts after this.
    let end = format!("{prefix}\u{10ffff}");
    let rows = tx.query(
        "SELECT path FROM condemned WHERE region = ?1 AND ?2 <= path AND path < ?3",
        args![region, prefix, end],
    )?;
    rows.iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}

/// Objects below `prefix` that are condemned and not deleted yet, and since when; oldest first.
///
/// # Errors
/// The database's.
pub fn waiting(
    tx: &mut dyn Tx,
    region: &Region,
    prefix: &str,
) -> Result<Vec<(String, Timestamp)>, CatalogError> {
    let end = format!("{prefix}\u{10ffff}");
    let rows = tx.query(
        "SELECT path, condemned_at FROM condemned WHERE region = ?1 AND ?2 <= path \
         AND path < ?3 AND deleted_at IS NULL",
        args![region, prefix, end],
    )?;
    let waiting = rows
        .iter()
        .map(|row| Ok((row.text(0)?.to_owned(), Timestamp(row.int(1)?))));
    let mut waiting = waiting.collect::<Result<Vec<_>, CatalogError>>()?;
    waiting.sort_unstable_by(|(a, at), (b, bt)| (at, a).cmp(&(bt, b)));
    Ok(waiting)
}

/// Notes that objects are deleted; their names stay on the list.
///
/// # Errors
/// The database's.
pub fn mark_deleted(
    tx: &mut dyn Tx,
    region: &Region,
    paths: &[String],
) -> Result<(), CatalogError> {
    let now = tx.now();
    for path in paths {
        tx.execute(
            "UPDATE condemned SET deleted_at = COALESCE(deleted_at, ?3) \
             WHERE region = ?1 AND path = ?2",
            args![region, path, now],
        )?;
    }
    Ok(())
}

/// Forgets up to `limit` names that were deleted longer ago than `age`, once no writer can be
/// that late; answers how many.
///
/// # Errors
/// The database's.
pub fn forget(
    tx: &mut dyn Tx,
    region: &Region,
    age: Duration,
    limit: usize,
) -> Result<u64, CatalogError> {
    let before = tx.now().minus(age);
    tx.execute(
        "DELETE FROM condemned WHERE region = ?1 AND path IN (SELECT path FROM condemned \
         WHERE region = ?1 AND deleted_at IS NOT NULL AND deleted_at < ?2 LIMIT ?3)",
        args![region, before, limit],
    )
}
