//! Makes a new cluster: its files, roles, a running server, and then the commit that names it.
use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, instances, jobs};
use engine::NewCluster;
use model::{
    Cluster, ClusterStatus, InstanceStatus, Job, Placement, ResourceId, Told, job::Subject,
};
use serde::{Deserialize, Serialize};

use super::{
    JobError, create_elsewhere, create_instance,
    run::{JobType, Run},
};
use crate::{
    clusters::{addresses, files, parameters},
    events::kinds::{self, OfCluster},
};

/// The job's document.
#[derive(Debug, Serialize, Deserialize)]
pub struct Body {
    /// The cluster.
    pub cluster: ResourceId,
    /// What the server keeps of the master password.
    pub master_verifier: String,
}

/// The kind.
#[derive(Debug)]
pub struct CreateCluster;

impl JobType for CreateCluster {
    const NAME: &'static str = "create-cluster";
    const WORKS_ON: &'static str = "cluster";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        self::give_up(tx, job, reason)
    }
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let cluster = run.cluster(&body.cluster).await?;
    if let Some(place) = made_before(run, &cluster).await? {
        return commit(run, body.cluster, place).await;
    }
    let place = run.fresh_place(&cluster).await?;
    run.clear_other_attempts(&cluster, &place).await?;
    let place = addresses::secure(&run.context, &cluster, place).await?;
    let home = files::home(&run.context, &cluster, &place);
    run.make_way(&home).await?;
    let spec = NewCluster {
        master_username: cluster.master_username.clone(),
        master_verifier: body.master_verifier,
        database_name: cluster.database_name.clone(),
    };
    run.context
        .engine_of(&cluster)?
        .create(&home, &spec)
        .await?;
    let start = addresses::start(&run.context, &cluster, place);
    let place = run.slot.waiting(start).await?;
    let place = parameters::settle(&run.context, &cluster, place).await?;
    commit(run, body.cluster, place).await
}

/// The writer of a cluster on several nodes that an earlier try made, and that the other nodes have begun to
/// follow.
pub(super) async fn made_before(
    run: &Run,
    cluster: &Cluster,
) -> Result<Option<Placement>, JobError> {
    let place = match cluster.spread {
        Some(_) => run.writer_place(cluster).await?,
        None => None,
    };
    let Some(place) = place.filter(Placement::is_whole) else {
        return Ok(None);
    };
    let start = addresses::start(&run.context, cluster, place);
    run.slot.waiting(start).await.map(Some)
}

/// Makes the readers that a cluster begins with, and names the winning attempts: from here on the
/// cluster is available.
pub(super) async fn commit(run: &Run, id: ResourceId, place: Placement) -> Result<(), JobError> {
    let cluster = run.cluster(&id).await?;
    let readers = match cluster.spread {
        Some(_) => {
            create_elsewhere::make_all(run, &cluster, &place).await?;
            Vec::new()
        }
        None => create_instance::make_all(run, &cluster, &place).await?,
    };
    // The engine has just had a session with its server.
    run.context.answering.note(&id, true);
    let lease = run.lease.clone();
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            let mut stored = rows::get_by_resource_id(tx, &id)?.ok_or(JobError::Gone)?;
            stored.value.status = ClusterStatus::Available;
            stored.value.percent_progress = None;
            if let Some(secret) = &mut stored.value.master_secret {
                secret.promote(tx.now());
            }
            let stored = rows::update(tx, stored)?;
            let mut writer = instances::writer(tx, &id)?.ok_or(JobError::Gone)?;
            writer.value.placement = place.clone();
            writer.value.status = InstanceStatus::Available;
            instances::update(tx, writer)?;
            for made in &readers {
                create_instance::is_made(tx, &id, made)?;
            }
            instances::relink(tx, &stored.value)?;
            kinds::cluster(tx, &stored.value, OfCluster::Created)?;
            jobs::finish(tx, &lease, &jobs::End::Done)?;
            Ok::<_, JobError>(())
        })
        .await?;
    run.context.backups.notify_one();
    Ok(())
}

pub(super) fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    let Subject::Cluster(of) = &job.subject else {
        // Its runner has told that; no record says which it was.
        return Ok(());
    };
    let Some(mut stored) = rows::get(tx, &of.region, &of.account, &of.name)? else {
        return Ok(());
    };
    let cluster: &mut Cluster = &mut stored.value;
    if cluster.status.may_become(ClusterStatus::Failed) {
        cluster.status = ClusterStatus::Failed;
        cluster.failure = Some(reason.clone());
        cluster.percent_progress = None;
        let stored = rows::update(tx, stored)?;
        kinds::cluster(tx, &stored.value, OfCluster::Failed(reason))?;
    }
    Ok(())
}
