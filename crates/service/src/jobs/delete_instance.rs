//! Removes an instance of a cluster that has others: its server, its files, its record. The writer
//! gives its place to a reader first.
use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, instances, jobs};
use model::{Cluster, ClusterStatus, Instance, InstanceId, InstanceStatus, Job, Placement, Told};

use super::{
    JobError, Reason,
    create_instance::renew_writer,
    failover,
    on_instance::Body,
    run::{JobType, Run, attempts},
};
use crate::{
    clusters::{addresses, files},
    events::kinds::{self, OfCluster, OfInstance},
    fault::chain,
};

/// The kind.
#[derive(Debug)]
pub struct DeleteInstance;

impl JobType for DeleteInstance {
    const NAME: &'static str = "delete-instance";
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
    let instance = find(run, &cluster, &body.instance).await?;
    let status = cluster.status;
    if instance.is_writer() || status == ClusterStatus::FailingOver {
        let writer = failover::perform(run, &cluster, &instance.id, None).await?;
        let (lease, id) = (run.lease.clone(), body.cluster.clone());
        run.context
            .catalog
            .write(move |tx| {
                jobs::guard(tx, &lease)?;
                let mut stored = rows::get_by_resource_id(tx, &id)?.ok_or(JobError::Gone)?;
                stored.value.status = ClusterStatus::Available;
                let stored = rows::update(tx, stored)?;
                Ok::<_, JobError>(kinds::cluster(
                    tx,
                    &stored.value,
                    OfCluster::FailedOver(&writer),
                )?)
            })
            .await?;
    }
    let instance = find(run, &cluster, &body.instance).await?;
    remove(run, &cluster, &instance).await?;
    let (lease, id) = (run.lease.clone(), body.cluster);
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            let cluster = rows::get_by_resource_id(tx, &id)?.ok_or(JobError::Gone)?;
            instances::delete(tx, &instance)?;
            instances::relink(tx, &cluster.value)?;
            kinds::instance(tx, &instance, OfInstance::Deleted)?;
            jobs::finish(tx, &lease, &jobs::End::Done)?;
            Ok::<_, JobError>(())
        })
        .await?;
    // Its slot goes.
    if let Err(error) = renew_writer(run, &cluster).await {
        tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the writer does not know yet that a reader is gone");
    }
    Ok(())
}

async fn find(run: &Run, cluster: &Cluster, id: &InstanceId) -> Result<Instance, JobError> {
    let members = run.members(cluster).await?;
    let found = members.into_iter().find(|one| one.id == *id);
    found.ok_or(JobError::Gone)
}

async fn remove(run: &Run, cluster: &Cluster, instance: &Instance) -> Result<(), JobError> {
    let place = &instance.placement;
    let engine = run.context.engine_of(cluster)?;
    for attempt in attempts(&files::folder(&run.context, cluster)).await? {
        if place.has_attempt(&attempt) {
            let old = Placement {
                attempt,
                ..place.clone()
            };
            let home = files::home(&run.context, cluster, &old);
            run.slot.waiting(engine.remove(&home)).await?;
        }
    }
    if cluster.spread.is_some() {
        // This node has nothing else of the cluster.
        remove_folder(files::folder(&run.context, cluster)).await?;
    }
    addresses::release(&run.context, cluster, place);
    run.context.answering.note_of(instance, false);
    Ok(())
}

/// Removes a cluster's folder and what is left in it.
pub(super) async fn remove_folder(folder: std::path::PathBuf) -> Result<(), JobError> {
    let removed =
        files::blocking(move || engine::remove_tree(&folder).map_err(std::io::Error::other));
    removed.await.map_err(|error| {
        let told = Told::new("the host does not let the cluster's files be removed");
        JobError::Fail(Reason::new(told, chain(&error)))
    })
}

/// It is kept, so that it can be deleted again.
fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    let Ok(body) = super::run::body::<Body>(job) else {
        return Ok(());
    };
    let Some(mut stored) = instances::of_id(tx, &body.cluster, &body.instance)? else {
        return Ok(());
    };
    stored.value.status = match stored.value.is_writer() {
        true => InstanceStatus::Available,
        false => InstanceStatus::Failed,
    };
    stored.value.failure = Some(reason.clone());
    let writes = stored.value.is_writer();
    instances::update(tx, stored)?;
    let Some(mut cluster) = rows::get_by_resource_id(tx, &body.cluster)? else {
        return Ok(());
    };
    if writes && cluster.value.status == ClusterStatus::FailingOver {
        cluster.value.status = ClusterStatus::Available;
        cluster = rows::update(tx, cluster)?;
        kinds::cluster(tx, &cluster.value, OfCluster::FailoverFailed(reason))?;
    }
    instances::relink(tx, &cluster.value)
}
