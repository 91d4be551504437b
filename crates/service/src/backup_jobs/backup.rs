//! Begins a backup job: a snapshot of a cluster, taken as CreateDBClusterSnapshot takes one.
use catalog::{CatalogError, CatalogExt, Tx, clusters, instances, jobs, snapshots};
use model::{
    ArnKind, BackupJob, BackupJobState, Cluster, ClusterName, ClusterStatus, ErrorKind, Job,
    Placement, RecoveryPoint, Snapshot, SnapshotKind, tag,
};

use super::{
    record::{self, BeginError, end, update, waiting},
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
        retained_until: None,
    });
    Ok((snapshot, work))
}

/// Keeps a new job that begins at once, with its snapshot's record and job. If its vault takes the
/// recovery point no more, the job alone is kept, and has failed.
///
/// # Errors
/// The catalog's.
pub fn insert_begun(
    tx: &mut dyn Tx,
    job: BackupJob,
    (snapshot, work): (&Snapshot, &Job),
) -> Result<BackupJob, CatalogError> {
    if let Some(why) = vaults::refusal(tx, &job)? {
        return Ok(record::insert(tx, job.failed(why))?.value);
    }
    keep(tx, snapshot, work)?;
    Ok(record::insert(tx, job)?.value)
}

fn keep(tx: &mut dyn Tx, snapshot: &Snapshot, work: &Job) -> Result<(), CatalogError> {
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

/// Begins a job, if its cluster can be backed up now; ends it once it has waited too long. Answers whether
/// others of its cluster have to wait.
pub(super) async fn begin(context: &ServiceContext, job: &BackupJob) -> Result<bool, BeginError> {
    let asked = job.clone();
    let found = context.catalog.read(move |tx| look(tx, &asked)).await?;
    let (cluster, place) = match found {
        Found::Ready(found) => *found,
        Found::Cannot(why) => {
            end(context, job, BackupJobState::Failed, why).await?;
            return Ok(false);
        }
        Found::Waits(why) if job.start_by <= context.now() => {
            let why = format!("The job did not begin within its start window: {why}");
            end(context, job, BackupJobState::Expired, why).await?;
            return Ok(false);
        }
        Found::Waits(_) => return Ok(true),
    };
    let (snapshot, work) = match prepare(context, job, &cluster, place.as_ref()).await {
        Ok(prepared) => prepared,
        Err(fault) if fault.code.kind() == ErrorKind::Refuse => {
            let why = fault.message.to_string();
            end(context, job, BackupJobState::Failed, why).await?;
            return Ok(false);
        }
        Err(fault) => return Err(BeginError::Fault(fault)),
    };
    let asked = job.clone();
    let kept = context
        .catalog
        .write(move |tx| commit(tx, &asked, &snapshot, &work));
    kept.await?;
    Ok(true)
}

/// Keeps what was prepared for a job, if all is still as it was; else the next look tells.
fn commit(
    tx: &mut dyn Tx,
    asked: &BackupJob,
    snapshot: &Snapshot,
    work: &Job,
) -> Result<(), CatalogError> {
    let Some(mut stored) = waiting(tx, asked)? else {
        return Ok(());
    };
    let still = clusters::get_by_resource_id(tx, &snapshot.cluster_resource_id)?;
    let is_there = still.is_some_and(|still| still.value.status == ClusterStatus::Available);
    if !is_there || vaults::refusal(tx, asked)?.is_some() {
        return Ok(());
    }
    stored.value.state = BackupJobState::Running;
    stored.value.kms_key.clone_from(&snapshot.kms_key);
    update(tx, stored)?;
    keep(tx, snapshot, work)
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
    if let Some(why) = vaults::refusal(tx, job)? {
        return Ok(Found::Cannot(why));
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

#[cfg(test)]
mod tests {
    use catalog::{conformance::samples, keyed};
    use model::{BackupVault, Clock as _, VaultLock, recovery_point::Lifecycle};

    use super::*;
    use crate::sweep::{checker::fixture::Fixture, month};

    /// A vault that asks for a week.
    fn locked(name: &str) -> BackupVault {
        let mut vault = samples::backup_vault(name);
        vault.lock = Some(VaultLock {
            min_days: Some(7),
            max_days: None,
            lock_date: None,
            is_fixed: false,
        });
        vault
    }

    /// A lock, or a vault's end, between the look and the commit holds all the same.
    #[test]
    fn a_vault_is_looked_at_again_when_its_backup_is_kept() {
        let fixture = Fixture::new();
        let context = month::context(&fixture);
        let cluster = samples::cluster("c");
        let now = fixture.clock.now();
        for (round, vault) in [Some(samples::backup_vault("x")), Some(locked("x")), None]
            .into_iter()
            .enumerate()
        {
            let is_open = vault.as_ref().is_some_and(|vault| vault.lock.is_none());
            let uuid = |number: usize| uuid::Uuid::from_u128((10 * round + number) as u128);
            let name = samples::backup_vault("x").name;
            let job = |id: &uuid::Uuid| BackupJob {
                lifecycle: Lifecycle {
                    cold_after_days: None,
                    delete_after_days: Some(1),
                },
                ..BackupJob::of_cluster(&cluster, name.clone(), id, now)
            };
            let (planned, mut asked) = (job(&uuid(1)), job(&uuid(2)));
            asked.state = BackupJobState::Running;
            let prepare = async |job: &BackupJob| {
                let prepared = prepare(&context, job, &cluster, None).await;
                prepared.expect("it is prepared")
            };
            let (first, second) = fixture
                .runtime
                .block_on(async { (prepare(&planned).await, prepare(&asked).await) });
            let of = cluster.clone();
            let kept = fixture.catalog.write(move |tx| {
                if clusters::get_by_resource_id(tx, &of.resource_id)?.is_none() {
                    clusters::insert(tx, of.clone())?;
                }
                keyed::delete(tx, &samples::backup_vault("x"))?;
                if let Some(vault) = vault.clone() {
                    keyed::insert(tx, vault)?;
                }
                record::insert(tx, planned.clone())?;
                commit(tx, &planned, &first.0, &first.1)?;
                let key = [planned.account.as_str(), planned.id.as_str()];
                let waits = keyed::get::<BackupJob>(tx, &planned.region, &key)?;
                let begun = insert_begun(tx, asked.clone(), (&second.0, &second.1))?;
                let mut made = Vec::new();
                for point in [&first.0, &second.0] {
                    let (region, account) = (&point.region, &point.account);
                    made.push(snapshots::get(tx, region, account, &point.name)?.is_some());
                }
                Ok::<_, CatalogError>((waits.map(|one| one.value.state), begun, made))
            });
            let (waits, begun, made) = fixture.runtime.block_on(kept).expect("it is kept");
            assert_eq!(made, [is_open, is_open], "round {round}");
            let states = match is_open {
                true => (BackupJobState::Running, BackupJobState::Running),
                false => (BackupJobState::Created, BackupJobState::Failed),
            };
            assert_eq!((waits, begun.state), (Some(states.0), states.1));
            assert_eq!(begun.message.is_some(), !is_open);
        }
    }
}
