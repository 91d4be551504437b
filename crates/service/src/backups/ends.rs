//! How an automated snapshot ends before its time: nobody can delete one by hand.
use catalog::{CatalogError, Tx, automated, jobs, snapshots};
use model::{
    Account, Cluster, JobKind, Region, ResourceId, Snapshot, SnapshotStatus, job::Subject,
};

use crate::{
    events::kinds,
    jobs::{JobType, copy_snapshot::CopySnapshot, create_snapshot::CreateSnapshot},
};

/// Deletes an automated snapshot; one that is being taken or brought here is no longer.
///
/// # Errors
/// The catalog's.
pub fn delete(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<(), CatalogError> {
    let (region, account, name) = (&snapshot.region, &snapshot.account, &snapshot.name);
    let kind = match snapshot.status {
        SnapshotStatus::Creating => Some(CreateSnapshot::NAME),
        SnapshotStatus::Copying => Some(CopySnapshot::NAME),
        SnapshotStatus::Available | SnapshotStatus::Failed => None,
    };
    if let Some(kind) = kind {
        let subject = Subject::snapshot(region, account, name);
        for job in jobs::of_subject(tx, &subject, &JobKind::of(kind))? {
            jobs::cancel(tx, job.id)?;
        }
    }
    if snapshots::delete(tx, region, account, name)? {
        kinds::snapshot_gone(tx, snapshot)?;
    }
    Ok(())
}

/// Deletes all of a cluster's.
///
/// # Errors
/// The catalog's.
pub fn delete_all(
    tx: &mut dyn Tx,
    cluster: (&Region, &Account, &ResourceId),
) -> Result<(), CatalogError> {
    for stored in automated::of_cluster(tx, cluster)? {
        delete(tx, &stored.value)?;
    }
    Ok(())
}

/// Ends the automated snapshot that is being taken of a cluster, if one is: what its owner asked for
/// does not wait for it. It is taken again soon.
///
/// # Errors
/// The catalog's.
pub fn give_way(tx: &mut dyn Tx, cluster: &mut Cluster) -> Result<(), CatalogError> {
    let of = (&cluster.region, &cluster.account, &cluster.resource_id);
    let mut gave_way = false;
    for stored in automated::of_cluster(tx, of)? {
        if stored.value.status == SnapshotStatus::Creating {
            delete(tx, &stored.value)?;
            gave_way = true;
        }
    }
    if gave_way {
        cluster.backups.put_off(tx.now());
    }
    Ok(())
}
