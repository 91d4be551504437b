//! Follows a restore job: it is through when its cluster is.
use std::time::Duration;

use catalog::{CatalogError, CatalogExt, Tx, clusters, keyed};
use model::{
    Arn, ArnKind, BackupJob, BackupJobState, Cluster, ClusterName, ClusterStatus, Timestamp,
};

use super::record::{BeginError, update};
use crate::context::ServiceContext;

/// When a request that was to ask for the cluster is over, whatever became of it.
const REQUEST: Duration = Duration::from_secs(120);

/// The cluster that a restore makes, if it is there.
///
/// # Errors
/// The catalog's.
pub fn restored(tx: &mut dyn Tx, arn: &Arn) -> Result<Option<Cluster>, CatalogError> {
    let name = arn
        .locate(ArnKind::Cluster)
        .and_then(|located| ClusterName::parse(located.name).ok());
    let Some(name) = name else { return Ok(None) };
    let found = clusters::get(tx, &arn.region, &arn.account, &name)?;
    Ok(found.map(|stored| stored.value))
}

/// Writes into a job what became of its cluster, once it is known.
pub(super) async fn follow(context: &ServiceContext, job: &BackupJob) -> Result<(), BeginError> {
    let (job, now) = (job.clone(), context.now());
    let followed = context.catalog.write(move |tx| {
        let key = [job.account.as_str(), job.id.as_str()];
        let Some(mut stored) = keyed::get::<BackupJob>(tx, &job.region, &key)? else {
            return Ok(());
        };
        let Some(restore) = &stored.value.restore else {
            return Ok(());
        };
        let cluster =
            restored(tx, &restore.cluster)?.filter(|one| job.created_at <= one.created_at);
        let Some((state, why)) = outcome(&stored.value, cluster.as_ref(), now) else {
            return Ok(());
        };
        stored.value.state = state;
        stored.value.message = why;
        if state != BackupJobState::Running {
            stored.value.ended_at = Some(tx.now());
        }
        update(tx, stored).map(drop)
    });
    Ok(followed.await?)
}

/// What becomes of a job with its cluster; none: nothing yet.
fn outcome(
    job: &BackupJob,
    cluster: Option<&Cluster>,
    now: Timestamp,
) -> Option<(BackupJobState, Option<String>)> {
    let failed = |why: String| Some((BackupJobState::Failed, Some(why)));
    match (job.state, cluster.map(|cluster| cluster.status)) {
        // The request is still at it, or its answer was lost.
        (BackupJobState::Created, _) if now.is_within(REQUEST, job.created_at) => None,
        (BackupJobState::Created, None) => {
            failed("The server ended before the restore began: ask for it again.".to_owned())
        }
        (BackupJobState::Created, Some(_)) => Some((BackupJobState::Running, None)),
        (BackupJobState::Running, Some(ClusterStatus::Creating)) => None,
        (BackupJobState::Running, Some(ClusterStatus::Failed)) => {
            let why = cluster.and_then(|cluster| cluster.failure.as_ref());
            let why = why.map_or("The cluster could not be restored.", |why| why.as_str());
            failed(why.to_owned())
        }
        (BackupJobState::Running, None | Some(ClusterStatus::Deleting)) => {
            failed("The cluster was deleted before it was restored.".to_owned())
        }
        (BackupJobState::Running, Some(_)) => Some((BackupJobState::Completed, None)),
        (BackupJobState::Completed | BackupJobState::Failed | BackupJobState::Expired, _) => None,
    }
}
