//! The record of a job that waits, as what begins it sees and ends it.
use catalog::{CatalogError, CatalogExt, Stored, Tx, keyed};
use model::{BackupJob, BackupJobState};

use crate::{context::ServiceContext, events, fault::Fault};

/// Why a job was not seen to; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Fault(Fault),
}

/// Keeps a new job, and tells of it.
///
/// # Errors
/// `Conflict` when its id or what its caller named it by is taken.
pub fn insert(tx: &mut dyn Tx, job: BackupJob) -> Result<Stored<BackupJob>, CatalogError> {
    let stored = keyed::insert(tx, job)?;
    events::backup::job(tx, &stored.value)?;
    Ok(stored)
}

/// Writes where a job stands now, and tells of it.
///
/// # Errors
/// `Stale` when it was changed since it was read.
pub fn update(
    tx: &mut dyn Tx,
    stored: Stored<BackupJob>,
) -> Result<Stored<BackupJob>, CatalogError> {
    let stored = keyed::update(tx, stored)?;
    events::backup::job(tx, &stored.value)?;
    Ok(stored)
}

/// The job as it is now, if it still waits.
pub(super) fn waiting(
    tx: &mut dyn Tx,
    job: &BackupJob,
) -> Result<Option<Stored<BackupJob>>, CatalogError> {
    let key = [job.account.as_str(), job.id.as_str()];
    let found = keyed::get::<BackupJob>(tx, &job.region, &key)?;
    Ok(found.filter(|stored| stored.value.state == BackupJobState::Created))
}

/// Ends a job that waits and cannot be done, with the reason.
pub(super) async fn end(
    context: &ServiceContext,
    job: &BackupJob,
    state: BackupJobState,
    why: String,
) -> Result<(), CatalogError> {
    tracing::info!(job = %job.arn(), state = state.as_str(), cause = why, "a job of AWS Backup ended");
    let job = job.clone();
    let ended = context.catalog.write(move |tx| {
        let Some(mut stored) = waiting(tx, &job)? else {
            return Ok(());
        };
        stored.value.state = state;
        stored.value.ended_at = Some(tx.now());
        stored.value.message = Some(why.clone());
        update(tx, stored).map(drop)
    });
    ended.await
}
