//! The highest number of an OS user that a cluster of this catalog had.
//!
//! It does not know which users the machine has, nor claims any.
use crate::{error::CatalogError, transaction::Tx, value::args};

/// The highest OS user id so far; none when there was none.
///
/// # Errors
/// `Damaged` when it is no user id; else the database's.
pub fn last(tx: &mut dyn Tx) -> Result<Option<u32>, CatalogError> {
    let rows = tx.query("SELECT value FROM counters WHERE name = 'uid'", args![])?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let value = row.count(0)?;
    u32::try_from(value).map(Some).map_err(|error| {
        CatalogError::damaged(
            "the counter of OS user ids",
            Some(std::sync::Arc::new(error)),
        )
    })
}

/// Notes that a cluster has, or may have had, this OS user id.
///
/// # Errors
/// The database's.
pub fn note(tx: &mut dyn Tx, uid: u32) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO counters (name, value) VALUES ('uid', ?1) ON CONFLICT (name) DO UPDATE \
         SET value = CASE WHEN counters.value < excluded.value THEN excluded.value \
         ELSE counters.value END",
        args![uid],
    )?;
    Ok(())
}
