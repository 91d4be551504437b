//! Restore testing: plans by when they are due, and drills by where they stand and by their time.
use model::{Account, Drill, Region, RestoreTestingPlan, Timestamp};

use crate::{
    error::CatalogError,
    tables::{record::read, stored::Stored},
    transaction::Tx,
    value::args,
};

/// Where a walk over drills is: one's planned time and id.
pub type After = (Timestamp, String);

/// The plans of a region that are due, the longest ago first; at most `limit`.
///
/// # Errors
/// The database's.
pub fn due(
    tx: &mut dyn Tx,
    region: &Region,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Stored<RestoreTestingPlan>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM restore_testing_plans WHERE region = ?1 AND due <= ?2 \
         ORDER BY due LIMIT ?3",
        args![region, now.0, limit],
    )?;
    read(&rows)
}

/// The plans of all regions and accounts; at most `limit`.
///
/// # Errors
/// The database's.
pub fn plans(tx: &mut dyn Tx, limit: usize) -> Result<Vec<RestoreTestingPlan>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM restore_testing_plans ORDER BY region, account, name LIMIT ?1",
        args![limit],
    )?;
    let plans = read(&rows)?;
    Ok(plans
        .into_iter()
        .map(|stored: Stored<_>| stored.value)
        .collect())
}

/// All accounts' drills that are not over, the oldest first, from the one behind `after` on; at most
/// `limit`.
///
/// # Errors
/// The database's.
pub fn open(
    tx: &mut dyn Tx,
    region: &Region,
    after: Option<&After>,
    limit: usize,
) -> Result<Vec<Stored<Drill>>, CatalogError> {
    let (at, id) = after.map_or((i64::MIN, ""), |(at, id)| (at.0, id.as_str()));
    let rows = tx.query(
        "SELECT version, body FROM drills WHERE region = ?1 AND is_open = 1 \
         AND (?2, ?3) < (planned_at, id) ORDER BY planned_at, id LIMIT ?4",
        args![region, at, id, limit],
    )?;
    read(&rows)
}

/// An account's drills, the newest first, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn newest(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    after: Option<&After>,
    limit: usize,
) -> Result<Vec<Stored<Drill>>, CatalogError> {
    let (at, id) = after.map_or((i64::MAX, ""), |(at, id)| (at.0, id.as_str()));
    let rows = tx.query(
        "SELECT version, body FROM drills WHERE region = ?1 AND account = ?2 \
         AND (planned_at, id) < (?3, ?4) ORDER BY planned_at DESC, id DESC LIMIT ?5",
        args![region, account, at, id, limit],
    )?;
    read(&rows)
}

/// All accounts' drills that are over and were planned before a moment; at most `limit`.
///
/// # Errors
/// The database's.
pub fn over_before(
    tx: &mut dyn Tx,
    region: &Region,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<Stored<Drill>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM drills WHERE region = ?1 AND is_open = 0 AND planned_at < ?2 \
         ORDER BY planned_at LIMIT ?3",
        args![region, before, limit],
    )?;
    read(&rows)
}
