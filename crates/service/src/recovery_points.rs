//! Recovery points of AWS Backup: what becomes of their jobs, and how they are forgotten.
use catalog::{CatalogError, Tx, keyed, snapshots};
use model::{
    ArnKind, BackupJob, BackupJobKind, BackupJobState, BackupVaultName, CopyOf, Snapshot,
    SnapshotName, SnapshotStatus,
};

use crate::{
    backup_jobs::record,
    events::{backup, kinds},
    lived,
};

/// Writes into a recovery point and its job that the snapshot has come to its end, in the
/// transaction that says so of the snapshot. Other snapshots are left alone.
///
/// # Errors
/// The catalog's.
pub fn settle(tx: &mut dyn Tx, snapshot: &mut Snapshot) -> Result<(), CatalogError> {
    let now = tx.now();
    let Some(point) = &mut snapshot.recovery_point else {
        return Ok(());
    };
    if snapshot.status == SnapshotStatus::Available {
        point.completed_at = Some(now);
        point.lived_at = Some(lived::so_far(tx)?);
    }
    let status = match snapshot.status {
        SnapshotStatus::Available => "COMPLETED",
        _ => "PARTIAL",
    };
    backup::point(tx, snapshot, status)?;
    let Some(point) = &snapshot.recovery_point else {
        return Ok(());
    };
    let (region, account) = match &point.job_at {
        Some(place) => (&place.region, &place.account),
        None => (&snapshot.region, &snapshot.account),
    };
    let key = [account.as_str(), point.job.as_str()];
    let Some(mut stored) = keyed::get::<BackupJob>(tx, region, &key)? else {
        return Ok(());
    };
    let job = &mut stored.value;
    job.ended_at = Some(now);
    job.state = match snapshot.status {
        SnapshotStatus::Available => BackupJobState::Completed,
        _ => BackupJobState::Failed,
    };
    job.bytes = snapshot
        .content
        .as_ref()
        .map(|content| content.logical_bytes);
    job.message = snapshot.failure.as_ref().map(|why| why.as_str().to_owned());
    let job = record::update(tx, stored)?.value;
    if job.state == BackupJobState::Completed {
        ask_for_copies(tx, &job, snapshot)?;
    }
    Ok(())
}

/// Asks for the copies that a plan's rule wants of a recovery point that is whole.
fn ask_for_copies(
    tx: &mut dyn Tx,
    job: &BackupJob,
    snapshot: &Snapshot,
) -> Result<(), CatalogError> {
    let now = tx.now();
    let Some(point) = &snapshot.recovery_point else {
        return Ok(());
    };
    for (id, action) in &job.copies {
        let to = action.to.locate(ArnKind::BackupVault);
        let name = to.and_then(|to| BackupVaultName::parse(to.name).ok());
        let (Some(name), Ok(uuid)) = (name, uuid::Uuid::parse_str(id)) else {
            continue;
        };
        let lifecycle = action.lifecycle.as_ref().unwrap_or(&point.lifecycle);
        let copy = BackupJob {
            vault: name,
            snapshot: SnapshotName::of_backup("copyjob", &uuid),
            iam_role: point.iam_role.clone(),
            lifecycle: lifecycle.clone(),
            copy: Some(CopyOf {
                source: snapshot.arn(),
                from: point.vault.clone(),
                to: action.to.clone(),
                backup_job: Some(job.id.clone()),
            }),
            ..BackupJob::of_point(BackupJobKind::Copy, snapshot, point, (&uuid, now))
        };
        record::insert(tx, copy)?;
    }
    Ok(())
}

/// Forgets a recovery point; what nothing reaches any more is swept later.
///
/// # Errors
/// The catalog's.
pub fn forget(tx: &mut dyn Tx, point: &Snapshot) -> Result<(), CatalogError> {
    if snapshots::delete(tx, &point.region, &point.account, &point.name)? {
        kinds::snapshot_gone(tx, point)?;
        backup::point(tx, point, "DELETING")?;
    }
    Ok(())
}
