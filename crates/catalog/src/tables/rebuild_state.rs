//! A catalog that is being rebuilt: the note that says so, and what its records are asked then.
//!
//! It does not know where the records come from.
//!
//! Invariant: while the note stands, all that the catalog holds came from the rebuild, so one
//! that was cut short is begun anew by removing it all; and no server starts on half a catalog.
use model::{Hash, Region, Snapshot, SnapshotStatus, VolumeRef};

use crate::{
    error::CatalogError,
    tables::{meta, record::read, recorded, stored::Stored, uids},
    transaction::Tx,
    value::args,
};

/// The note.
const NOTE: &str = "rebuilding";
/// OS user numbers that are skipped: those of clusters that nobody remembers are below it.
const UIDS_SKIPPED: u32 = 1_000;
/// How a rebuild begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// In an empty catalog.
    New,
    /// After one that was cut short, whose records were removed.
    Again,
    /// Not at all: there are records.
    Filled,
}

/// Notes that a rebuild is under way, in a catalog without records but those of a rebuild that was
/// cut short, which are removed.
///
/// # Errors
/// The database's.
pub fn begin(tx: &mut dyn Tx) -> Result<Begun, CatalogError> {
    if is_under_way(tx)? {
        recorded::clear(tx)?;
        for table in ["events", "outbox"] {
            tx.execute(&format!("DELETE FROM {table}"), &[])?;
        }
        return Ok(Begun::Again);
    }
    if !recorded::is_empty(tx)? {
        return Ok(Begun::Filled);
    }
    meta::set(tx, NOTE, "yes")?;
    Ok(Begun::New)
}

/// Whether a rebuild was begun and has not come to its end.
///
/// # Errors
/// The database's.
pub fn is_under_way(tx: &mut dyn Tx) -> Result<bool, CatalogError> {
    Ok(meta::get(tx, NOTE)?.is_some())
}

/// Notes that the rebuild is at its end.
///
/// # Errors
/// The database's.
pub fn end(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    meta::unset(tx, NOTE)
}

/// Removes aliases and grants of keys that are gone, which go without an entry of their own, and
/// instances of clusters that are gone.
///
/// # Errors
/// The database's.
pub fn prune(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    for table in ["kms_aliases", "kms_grants"] {
        tx.execute(
            &format!(
                "DELETE FROM {table} WHERE NOT EXISTS (SELECT 1 FROM kms_keys AS k \
                 WHERE k.region = {table}.region AND k.account = {table}.account \
                 AND k.id = {table}.key_id)"
            ),
            &[],
        )?;
    }
    tx.execute(
        "DELETE FROM instances WHERE NOT EXISTS \
         (SELECT 1 FROM clusters AS c WHERE c.resource_id = instances.cluster)",
        &[],
    )?;
    Ok(())
}

/// Lets the next cluster's OS user be none that a cluster, or one that was forgotten, has had.
///
/// # Errors
/// The database's.
pub fn skip_uids(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    match uids::last(tx)? {
        Some(highest) => uids::note(tx, highest.saturating_add(UIDS_SKIPPED)),
        None => Ok(()),
    }
}

/// Snapshots that are being made, of all regions; at most `limit`.
///
/// # Errors
/// The database's.
pub fn unfinished(tx: &mut dyn Tx, limit: usize) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM snapshots WHERE status = ?1 OR status = ?2 LIMIT ?3",
        args![
            SnapshotStatus::Creating.as_str(),
            SnapshotStatus::Copying.as_str(),
            limit
        ],
    )?;
    read(&rows)
}

/// The volumes that a region's snapshots have their bytes in.
///
/// # Errors
/// The database's.
pub fn volumes(tx: &mut dyn Tx, region: &Region) -> Result<Vec<VolumeRef>, CatalogError> {
    let rows = tx.query(
        "SELECT DISTINCT volume FROM snapshots \
         WHERE region = ?1 AND manifest IS NOT NULL ORDER BY volume",
        args![region],
    )?;
    rows.iter().map(|row| row.parsed(0)).collect()
}

/// The snapshots that a manifest describes; at most `limit`.
///
/// # Errors
/// The database's.
pub fn of_manifest(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
    manifest: Hash,
    limit: usize,
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM snapshots \
         WHERE region = ?1 AND volume = ?2 AND manifest = ?3 ORDER BY account, name LIMIT ?4",
        args![region, volume, manifest, limit],
    )?;
    read(&rows)
}
