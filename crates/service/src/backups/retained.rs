//! What becomes of automated snapshots when their cluster's record goes.
use catalog::{CatalogError, Stored, Tx, automated, instances, keyed, retained_backups};
use model::{Cluster, RetainedBackup, SnapshotStatus};

use super::ends;

/// Whether a cluster's automated snapshots outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backups {
    /// They end with it.
    End,
    /// They are kept until they expire.
    Stay,
}

/// Settles what becomes of a cluster's automated snapshots, in the transaction that is about to
/// delete its record. Those that were brought to another region stay until they expire.
///
/// # Errors
/// The catalog's.
pub fn settle(tx: &mut dyn Tx, cluster: &Cluster, backups: Backups) -> Result<(), CatalogError> {
    let of = (&cluster.region, &cluster.account, &cluster.resource_id);
    let whole = |status| status == SnapshotStatus::Available && backups == Backups::Stay;
    let mut kept = false;
    for stored in automated::of_cluster(tx, of)? {
        match whole(stored.value.status) {
            true => kept = true,
            false => ends::delete(tx, &stored.value)?,
        }
    }
    if kept && retained_backups::get(tx, &cluster.region, &cluster.resource_id)?.is_none() {
        let writer = instances::writer(tx, &cluster.resource_id)?;
        let record = RetainedBackup {
            cluster: cluster.clone(),
            port: writer.map(|writer| writer.value.placement.port),
            deleted_at: Some(tx.now()),
            brought_from: None,
        };
        keyed::insert(tx, record)?;
    }
    for stored in retained_backups::of_cluster(tx, &cluster.resource_id)? {
        if stored.value.is_brought() {
            bring_no_more(tx, stored)?;
        }
    }
    Ok(())
}

/// Notes that a cluster's backups are brought to another region no longer: what is there stays until it expires.
///
/// # Errors
/// The catalog's.
pub fn bring_no_more(
    tx: &mut dyn Tx,
    mut stored: Stored<RetainedBackup>,
) -> Result<(), CatalogError> {
    let cluster = &stored.value.cluster;
    let of = (&cluster.region, &cluster.account, &cluster.resource_id);
    for snapshot in automated::of_cluster(tx, of)? {
        if snapshot.value.status != SnapshotStatus::Available {
            ends::delete(tx, &snapshot.value)?;
        }
    }
    if automated::of_cluster(tx, of)?.is_empty() {
        return keyed::delete(tx, &stored.value).map(drop);
    }
    stored.value.deleted_at = Some(tx.now());
    keyed::update(tx, stored).map(drop)
}

/// Deletes a retained backup, with its snapshots.
///
/// # Errors
/// The catalog's.
pub fn delete(tx: &mut dyn Tx, retained: &RetainedBackup) -> Result<(), CatalogError> {
    let cluster = &retained.cluster;
    let of = (&cluster.region, &cluster.account, &cluster.resource_id);
    ends::delete_all(tx, of)?;
    keyed::delete(tx, retained).map(drop)
}
