//! Begins a backup job: a snapshot of a cluster, taken as CreateDBClusterSnapshot takes one.
use catalog::{CatalogError, CatalogExt, Tx, clusters, instances, jobs, snapshots};
use model::{
    ArnKind, BackupJob, BackupJobState, Cluster, ClusterName, ClusterStatus, ErrorKind, Job,
    Placement, RecoveryPoint, Snapshot, SnapshotKind, tag,
};

use super::{
    record::{BeginError, end, update, waiting},
    vaults,
};
use crate::{
    backups::records::{self, Asked},
    context::ServiceContext,
    fault::Fault,
};

/// The snapshot's record and its job.
///
/// # Errors
/// `KMSKeyNotAccessibleFault`.
pub async fn prepare(
    context: &ServiceContext,
    job: &BackupJob,
    cluster: &Cluster,
    place: Option<&Placement>,
) -> Result<(Snapshot, Job), Fault> {
    let mut tags = cluster.tags.clone();
    tag::merge(&mut tags, &job.tags).map_err(|error| Fault::value(error.to_string()))?;
    let asked = Asked {
        name: job.snapshot.clone(),
        kind: SnapshotKind::Backup,
        tags,
    };
    let port = place.map(|place| place.port);
    let (mut snapshot, body) = records::prepare(context, cluster, port, asked).await?;
    let node = place.map(|place| place.node.clone());
    let work = records::job(context, cluster, node, &snapshot, &body);
    snapshot.recovery_point = Some(RecoveryPoint {
        vault: job.vault.clone(),
        job: job.id.clone(),
        resource: job.resource.clone(),
        iam_role: job.iam_role.clone(),
        lifecycle: job.lifecycle.clone(),
        completed_at: None,
        job_at: None,
        rule: job.rule.clone(),
        lived_at: None,
        kept: None,
    });
    Ok((snapshot, work))
}

/// Keeps them, in the transaction that says of the job that it runs.
///
/// # Errors
/// The catalog's.
pub fn keep(tx: &mut dyn Tx, snapshot: &Snapshot, work: &Job) -> Result<(), CatalogError> {
    records::insert(tx, snapshot.clone())?;
    jobs::insert(tx, work)
}

/// What a look at a job finds.
enum Found {
    /// The cluster, and where its writer is.
    Ready(Box<(Cluster, Option<Placement>)>),
    /// What it waits for.
    Waits(String),
    /// Why it fails.
    Cannot(String),
}

/// Begins a job, if its cluster can be backed up now; ends it once it has waited too long.
pub(super) async fn begin(context: &ServiceContext, job: &BackupJob) -> Result<(), BeginError> {
    let asked = job.clone();
    let found = context.catalog.read(move |tx| look(tx, &asked)).await?;
    let (cluster, place) = match found {
        Found::Ready(found) => *found,
        Found::Cannot(why) => return Ok(end(context, job, BackupJobState::Failed, why).await?),
        Found::Waits(why) if job.start_by <= context.now() => {
            let why = format!("The job did not begin within its start window: {why}");
            return Ok(end(context, job, BackupJobState::Expired, why).await?);
        }
        Found::Waits(_) => return Ok(()),
    };
    let (snapshot, work) = match prepare(context, job, &cluster, place.as_ref()).await {
        Ok(prepared) => prepared,
        Err(fault) if fault.code.kind() == ErrorKind::Refuse => {
            let why = fault.message.to_string();
            return Ok(end(context, job, BackupJobState::Failed, why).await?);
        }
        Err(fault) => return Err(BeginError::Fault(fault)),
    };
    let asked = job.clone();
    let kept = context.catalog.write(move |tx| {
        let Some(mut stored) = waiting(tx, &asked)? else {
            return Ok(());
        };
        let still = clusters::get_by_resource_id(tx, &snapshot.cluster_resource_id)?;
        if still.is_none_or(|still| still.value.status != ClusterStatus::Available) {
            return Ok(());
        }
        stored.value.state = BackupJobState::Running;
        stored.value.kms_key.clone_from(&snapshot.kms_key);
        update(tx, stored)?;
        keep(tx, &snapshot, &work)
    });
    Ok(kept.await?)
}

fn look(tx: &mut dyn Tx, job: &BackupJob) -> Result<Found, CatalogError> {
    let arn = &job.resource;
    let name = arn
        .locate(ArnKind::Cluster)
        .and_then(|located| ClusterName::parse(located.name).ok());
    let found = match &name {
        Some(name) => clusters::get(tx, &arn.region, &arn.account, name)?,
        None => None,
    };
    let Some(cluster) = found.map(|stored| stored.value) else {
        return Ok(Found::Cannot(format!("Resource {arn} cannot be found.")));
    };
    match vaults::get(tx, &job.region, &job.account, &job.vault)? {
        None => {
            let why = format!("Backup vault {} cannot be found.", job.vault);
            return Ok(Found::Cannot(why));
        }
        Some(vault) => {
            if let Some(why) = vaults::lock_refusal(&vault, job) {
                return Ok(Found::Cannot(why));
            }
        }
    }
    if cluster.status != ClusterStatus::Available {
        let why = format!("DB cluster {} is not in the available state.", cluster.name);
        return Ok(Found::Waits(why));
    }
    let (region, account, id) = (&cluster.region, &cluster.account, &cluster.resource_id);
    let kind = Some(SnapshotKind::Backup);
    if 0 < snapshots::count_creating(tx, region, account, id, kind)? {
        let why = format!("another backup of DB cluster {} is running.", cluster.name);
        return Ok(Found::Waits(why));
    }
    let writer = instances::writer(tx, id)?;
    let place = writer.map(|stored| stored.value.placement);
    Ok(Found::Ready(Box::new((cluster, place))))
}
