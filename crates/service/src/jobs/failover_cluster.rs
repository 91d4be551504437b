//! Lets another instance take a cluster's writes: because somebody asks, or the writer is gone.
use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, instances, jobs};
use model::{Cluster, ClusterStatus, InstanceId, Job, ResourceId, Told, job::Subject};
use serde::{Deserialize, Serialize};

use super::{
    JobError, failover, new_job,
    run::{JobType, Run},
};
use crate::{
    context::ServiceContext,
    events::kinds::{self, OfCluster},
};

/// The job's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The cluster.
    pub cluster: ResourceId,
    /// The instance that takes its writes until then.
    pub from: InstanceId,
    /// The one that is to take them; the best there is when none is said.
    pub target: Option<InstanceId>,
}

/// The kind.
#[derive(Debug)]
pub struct FailoverCluster;

impl JobType for FailoverCluster {
    const NAME: &'static str = "failover-cluster";
    const WORKS_ON: &'static str = "cluster";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        self::give_up(tx, job, reason)
    }
}

/// The job that makes another instance than `from` the writer. Its cluster's record says
/// `failing-over` from the same transaction on, and nobody else starts a server of it until it ends.
pub fn job(context: &ServiceContext, cluster: &Cluster, body: &Body) -> Job {
    let subject = Subject::cluster(&cluster.region, &cluster.account, &cluster.name);
    let mut job = new_job::<FailoverCluster>(context, subject, body);
    job.node = Some(context.settings.node.clone());
    job
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let cluster = run.cluster(&body.cluster).await?;
    let writer = failover::perform(run, &cluster, &body.from, body.target.as_ref()).await?;
    let (lease, id) = (run.lease.clone(), body.cluster);
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            let mut stored = rows::get_by_resource_id(tx, &id)?.ok_or(JobError::Gone)?;
            stored.value.status = ClusterStatus::Available;
            let stored = rows::update(tx, stored)?;
            kinds::cluster(tx, &stored.value, OfCluster::FailedOver(&writer))?;
            jobs::finish(tx, &lease, &jobs::End::Done)?;
            Ok::<_, JobError>(())
        })
        .await?;
    // The old writer comes back.
    run.context.servers_changed.notify_one();
    Ok(())
}

/// The old writer is started again, if the records still have it as that.
fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    let Ok(body) = super::run::body::<Body>(job) else {
        return Ok(());
    };
    let Some(mut stored) = rows::get_by_resource_id(tx, &body.cluster)? else {
        return Ok(());
    };
    let writer = instances::writer(tx, &body.cluster)?;
    let undecided = writer.is_some_and(|writer| writer.value.id == body.from);
    if stored.value.status == ClusterStatus::FailingOver && undecided {
        stored.value.status = ClusterStatus::Available;
        let stored = rows::update(tx, stored)?;
        kinds::cluster(tx, &stored.value, OfCluster::FailoverFailed(reason))?;
    }
    Ok(())
}
