//! What a verification has to look at, and what it found whole so far.
//!
//! It does not know how objects are looked at, nor what is damaged.
use std::collections::HashSet;

use model::{Cluster, Hash, JobId, Region, Snapshot, VolumeRef};

use crate::{
    error::CatalogError,
    tables::{record, stored::Stored},
    transaction::Tx,
    value::{Arg, args},
};

/// A manifest that live records need, and where it lies.
pub type Place = (Region, VolumeRef, Hash);

/// Manifests that snapshots and clusters' bases need, each once, by region, volume and hash,
/// from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn places(
    tx: &mut dyn Tx,
    region: Option<&Region>,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Place>, CatalogError> {
    let (mut from, mut args): (_, Vec<Arg<'_>>) = (String::new(), Vec::new());
    if let Some((region, volume, manifest)) = after {
        from.push_str(" AND (?1, ?2, ?3) < (region, volume, manifest)");
        args = vec![region.into(), volume.into(), (*manifest).into()];
    }
    if let Some(region) = region {
        args.push(region.into());
        from.push_str(&format!(" AND region = ?{}", args.len()));
    }
    args.push(limit.into());
    let rows = tx.query(
        &format!(
            "SELECT region, volume, manifest FROM \
             (SELECT region, volume, manifest FROM snapshots WHERE manifest IS NOT NULL \
             UNION SELECT region, volume, base_manifest AS manifest FROM clusters \
             WHERE base_manifest IS NOT NULL) AS needed WHERE 1 = 1{from} \
             ORDER BY region, volume, manifest LIMIT ?{}",
            args.len()
        ),
        &args,
    )?;
    rows.iter()
        .map(|row| Ok((row.parsed(0)?, row.parsed(1)?, row.parsed(2)?)))
        .collect()
}

/// The records that need a manifest: snapshots, and clusters whose base it is.
///
/// # Errors
/// The database's.
pub fn needing(
    tx: &mut dyn Tx,
    (region, volume, manifest): &Place,
) -> Result<(Vec<Snapshot>, Vec<Cluster>), CatalogError> {
    let snapshots = tx.query(
        "SELECT version, body FROM snapshots \
         WHERE region = ?1 AND volume = ?2 AND manifest = ?3 ORDER BY account, name",
        args![region, volume, *manifest],
    )?;
    let clusters = tx.query(
        "SELECT version, body FROM clusters \
         WHERE region = ?1 AND volume = ?2 AND base_manifest = ?3 ORDER BY account, name",
        args![region, volume, *manifest],
    )?;
    Ok((
        values(record::read(&snapshots)?),
        values(record::read(&clusters)?),
    ))
}

fn values<T>(rows: Vec<Stored<T>>) -> Vec<T> {
    rows.into_iter().map(|stored| stored.value).collect()
}

/// Notes objects that a job found whole.
///
/// # Errors
/// The database's.
pub fn note(
    tx: &mut dyn Tx,
    job: JobId,
    region: &Region,
    volume: &VolumeRef,
    hashes: &[Hash],
) -> Result<(), CatalogError> {
    for hash in hashes {
        tx.execute(
            "INSERT INTO verified_objects (job, region, volume, hash) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
            args![job, region, volume, *hash],
        )?;
    }
    Ok(())
}

/// The objects of a volume that a job found whole.
///
/// # Errors
/// The database's.
pub fn noted(
    tx: &mut dyn Tx,
    job: JobId,
    region: &Region,
    volume: &VolumeRef,
) -> Result<HashSet<Hash>, CatalogError> {
    let rows = tx.query(
        "SELECT hash FROM verified_objects WHERE job = ?1 AND region = ?2 AND volume = ?3",
        args![job, region, volume],
    )?;
    rows.iter().map(|row| row.parsed(0)).collect()
}

/// Forgets up to `limit` notes of jobs that are not open; answers how many.
///
/// # Errors
/// The database's.
pub fn forget(tx: &mut dyn Tx, limit: usize) -> Result<u64, CatalogError> {
    let rows = tx.query(
        "SELECT DISTINCT job FROM verified_objects \
         WHERE job NOT IN (SELECT id FROM jobs WHERE state = 'open')",
        &[],
    )?;
    let mut gone = 0;
    for row in &rows {
        let left = limit.saturating_sub(usize::try_from(gone).unwrap_or(usize::MAX));
        gone += tx.execute(
            "DELETE FROM verified_objects WHERE job = ?1 AND (region, volume, hash) IN \
             (SELECT region, volume, hash FROM verified_objects WHERE job = ?1 LIMIT ?2)",
            args![row.text(0)?, left],
        )?;
    }
    Ok(gone)
}
