//! Removes a cluster: its final snapshot if there is one, its server, its files, its record.
use std::time::Duration;

use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, dirty_volumes, instances, jobs};
use model::{
    Account, ClusterStatus, InstanceRole, InstanceStatus, Job, Placement, Region, ResourceId,
    SnapshotName, Told,
    instance::Replication,
    job::{Named, Subject},
};
use serde::{Deserialize, Serialize};

use super::{
    JobError, Reason, create_snapshot,
    delete_instance::{DeleteInstance, remove_folder},
    on_instance,
    run::{JobType, Run, complete_snapshot, snapshot_of},
};
use crate::{
    backups::retained::{self, Backups},
    clusters::{addresses, files},
    events::kinds::{self, OfCluster},
};

/// How long is waited for other nodes in one go, and how often is looked.
const ELSEWHERE_WAIT: Duration = Duration::from_secs(30);
const ELSEWHERE_POLL: Duration = Duration::from_millis(200);

/// The job's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The cluster.
    pub cluster: ResourceId,
    /// The final snapshot's name and needs.
    pub final_snapshot: Option<FinalSnapshot>,
    /// Whether it was stopped, and is so again when the deletion is given up.
    #[serde(default)]
    pub was_stopped: bool,
    /// Whether its automated snapshots stay until they expire.
    #[serde(default)]
    pub keeps_backups: bool,
}

/// A final snapshot that is still to be taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FinalSnapshot {
    /// Its name.
    pub name: SnapshotName,
    /// What its taking needs.
    pub needs: create_snapshot::Body,
}

/// The kind.
#[derive(Debug)]
pub struct DeleteCluster;

impl JobType for DeleteCluster {
    const NAME: &'static str = "delete-cluster";
    const WORKS_ON: &'static str = "cluster";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        self::give_up(tx, job, reason)
    }
}

impl FinalSnapshot {
    /// Its record: it is where its cluster is.
    fn of(&self, region: &Region, account: &Account) -> Named<SnapshotName> {
        Named {
            region: region.clone(),
            account: account.clone(),
            name: self.name.clone(),
        }
    }
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let cluster = run.cluster(&body.cluster).await?;
    if let Some(snapshot) = body.final_snapshot.clone() {
        let of = snapshot.of(&cluster.region, &cluster.account);
        let uid = snapshot.needs.snapshot;
        let wanted = run
            .context
            .catalog
            .read(move |tx| snapshot_of(tx, &of, &uid))
            .await?;
        // Already available when an earlier try got past it.
        if wanted.is_some() {
            take_final(run, &cluster, snapshot).await?;
        }
    }
    remove_elsewhere(run, &cluster).await?;
    remove_servers(run, &cluster).await?;
    remove_folder(files::folder(&run.context, &cluster)).await?;
    run.context.answering.note(&cluster.resource_id, false);
    let lease = run.lease.clone();
    let backups = match body.keeps_backups {
        true => Backups::Stay,
        false => Backups::End,
    };
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            // As it now is: the final snapshot is its base.
            let now = rows::get_by_resource_id(tx, &cluster.resource_id)?;
            let now = now.map_or_else(|| cluster.clone(), |stored| stored.value);
            retained::settle(tx, &now, backups)?;
            rows::delete(tx, &cluster.region, &cluster.account, &cluster.name)?;
            if !cluster.logs.is_empty() {
                // Its log goes with it.
                dirty_volumes::put(tx, &cluster.region, &cluster.volume)?;
            }
            kinds::cluster(tx, &cluster, OfCluster::Deleted)?;
            jobs::finish(tx, &lease, &jobs::End::Done)?;
            Ok::<_, JobError>(())
        })
        .await?;
    Ok(())
}

/// Has the other nodes remove the instances that they have, and waits until those are gone.
async fn remove_elsewhere(run: &Run, cluster: &model::Cluster) -> Result<(), JobError> {
    let (lease, context, of) = (run.lease.clone(), run.context.clone(), cluster.clone());
    let asked = run.context.catalog.write(move |tx| {
        jobs::guard(tx, &lease)?;
        let mut waits = false;
        for mut stored in instances::of_cluster(tx, &of.resource_id)? {
            if stored.value.placement.node == context.settings.node {
                continue;
            }
            waits = true;
            if stored.value.status != InstanceStatus::Deleting {
                stored.value.status = InstanceStatus::Deleting;
                let stored = instances::update(tx, stored)?;
                let job = on_instance::job::<DeleteInstance>(&context, &of, &stored.value);
                jobs::insert(tx, &job)?;
            }
        }
        Ok::<_, JobError>(waits)
    });
    if !asked.await? {
        return Ok(());
    }
    let gone = async {
        let began = tokio::time::Instant::now();
        while began.elapsed() < ELSEWHERE_WAIT {
            let members = run.members(cluster).await?;
            let node = &run.context.settings.node;
            if members.iter().all(|one| one.placement.node == *node) {
                return Ok(());
            }
            tokio::time::sleep(ELSEWHERE_POLL).await;
        }
        Err(JobError::Wait(Reason::from(
            "another node has not removed the instance that it has",
        )))
    };
    run.slot.waiting(gone).await
}

/// Removes what there is of each instance: the readers first, and then the writer, with whatever else
/// the cluster's user runs.
async fn remove_servers(run: &Run, cluster: &model::Cluster) -> Result<(), JobError> {
    let engine = run.context.engine_of(cluster)?;
    let found = super::run::attempts(&files::folder(&run.context, cluster)).await?;
    for member in run.members(cluster).await?.into_iter().rev() {
        let mut place = member.placement;
        if member.role == InstanceRole::Writer {
            place.replication = Replication::default();
        }
        for attempt in found.iter().filter(|attempt| place.has_attempt(attempt)) {
            let place = Placement {
                attempt: attempt.clone(),
                ..place.clone()
            };
            let home = files::home(&run.context, cluster, &place);
            if let Err(error) = run.slot.waiting(engine.remove(&home)).await {
                if error.may_have_deleted() {
                    note_loss(run, cluster).await?;
                }
                return Err(error.into());
            }
        }
        addresses::release(&run.context, cluster, &place);
    }
    Ok(())
}

/// Notes that the cluster's files have begun to go: when the deletion is given up, what is left is
/// no cluster that could be started.
async fn note_loss(run: &Run, cluster: &model::Cluster) -> Result<(), JobError> {
    let (lease, id) = (run.lease.clone(), cluster.resource_id.clone());
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            if let Some(mut writer) = instances::writer(tx, &id)? {
                writer.value.placement.attempt.clear();
                instances::update(tx, writer)?;
            }
            Ok::<_, JobError>(())
        })
        .await
}

async fn take_final(
    run: &Run,
    cluster: &model::Cluster,
    snapshot: FinalSnapshot,
) -> Result<(), JobError> {
    let taken = create_snapshot::take(run, cluster, &snapshot.needs).await?;
    let of = snapshot.of(&cluster.region, &cluster.account);
    let lease = run.lease.clone();
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            let uid = &snapshot.needs.snapshot;
            let in_log = taken.in_log;
            complete_snapshot(tx, &of, uid, &taken.content, &taken.left_out, in_log)
        })
        .await
}

/// The cluster is kept: what cannot be snapshotted or removed must not be lost. It goes back to
/// where it was, so that it can be deleted again.
pub(super) fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    let Subject::Cluster(of) = &job.subject else {
        // Its runner has told that; no record says which it was.
        return Ok(());
    };
    let body = super::run::body::<Body>(job).ok();
    if let Some(snapshot) = body.as_ref().and_then(|body| body.final_snapshot.as_ref()) {
        let snapshot_of = snapshot.of(&of.region, &of.account);
        create_snapshot::fail_snapshot(tx, &snapshot_of, &snapshot.needs.snapshot, reason)?;
    }
    let Some(mut stored) = rows::get(tx, &of.region, &of.account, &of.name)? else {
        return Ok(());
    };
    let writer = instances::writer(tx, &stored.value.resource_id)?;
    let whole = writer.is_some_and(|writer| writer.value.placement.is_whole());
    let was_stopped = body.is_some_and(|body| body.was_stopped);
    stored.value.status = match (whole, was_stopped) {
        (false, _) => ClusterStatus::Failed,
        (true, true) => ClusterStatus::Stopped,
        (true, false) => ClusterStatus::Available,
    };
    stored.value.failure = Some(reason.clone());
    let stored = rows::update(tx, stored)?;
    kinds::cluster(tx, &stored.value, OfCluster::DeletionFailed(reason))
}
