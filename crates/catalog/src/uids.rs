//! Numbers for the OS users that clusters run as; none is given twice.
//!
//! It does not know which users the machine has.
use crate::{error::CatalogError, transaction::Tx, value::args};

/// The next OS user id: `base`, `base + 1`, and so on. A number is never used again, so a new
/// cluster cannot reach what an old one left behind.
///
/// # Errors
/// `Damaged` when the numbers are used up; else the database's.
pub fn next_uid(tx: &mut dyn Tx, base: u32) -> Result<u32, CatalogError> {
    let rows = tx.query(
        "INSERT INTO counters (name, value) VALUES ('uid', ?1) ON CONFLICT (name) DO UPDATE \
         SET value = CASE WHEN counters.value < excluded.value THEN excluded.value ELSE counters.value + 1 END \
         RETURNING value",
        args![base],
    )?;
    let value = rows.first().map_or(Ok(0), |row| row.count(0))?;
    u32::try_from(value).map_err(|error| CatalogError::Damaged {
        what: "the counter of OS user ids".to_owned(),
        source: Some(std::sync::Arc::new(error)),
    })
}
