//! Stops an instance's server in order, and starts it again.
use std::time::Duration;

use catalog::{
    CatalogError, CatalogExt, Tx,
    instances::{self, Member},
    jobs,
};
use model::{Cluster, Instance, InstanceStatus, Job, Told};

use super::{
    JobError,
    on_instance::Body,
    run::{JobType, Run},
};
use crate::{
    clusters::{files, parameters, step_down::step_down},
    events::kinds::{self, OfInstance},
};

/// How long a server may take to stop in order.
const PATIENCE: Duration = Duration::from_secs(20);

/// The kind.
#[derive(Debug)]
pub struct RebootInstance;

impl JobType for RebootInstance {
    const NAME: &'static str = "reboot-instance";
    const WORKS_ON: &'static str = "cluster";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, _reason: &Told) -> Result<(), CatalogError> {
        let Ok(body) = super::run::body::<Body>(job) else {
            return Ok(());
        };
        // Whoever sees to its server goes on with it.
        is_up(tx, &body).map(drop)
    }
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let cluster = run.cluster(&body.cluster).await?;
    let instance = find(run, &cluster, &body).await?;
    let context = &run.context;
    let home = files::home(context, &cluster, &instance.placement);
    let engine = context.engine_of(&cluster)?;
    context.answering.note_of(&instance, false);
    run.slot.waiting(engine.stop(&home, PATIENCE)).await?;
    let turn = context.server_turns.of(&instance.id);
    let _turn = run.slot.waiting(turn).await;
    // While its node was away another one may have taken its writes.
    let cluster = run.cluster(&body.cluster).await?;
    let instance = find(run, &cluster, &body).await?;
    let member = Member {
        cluster: cluster.clone(),
        instance: instance.clone(),
    };
    step_down(context, &member).await?;
    let start = parameters::start(context, &cluster, &instance);
    run.slot.waiting(start).await?;
    context.answering.note_of(&instance, true);
    let lease = run.lease.clone();
    context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            if let Some(stored) = is_up(tx, &body)? {
                kinds::instance(tx, &stored.value, OfInstance::Restarted)?;
            }
            jobs::finish(tx, &lease, &jobs::End::Done)?;
            Ok::<_, JobError>(())
        })
        .await
}

async fn find(run: &Run, cluster: &Cluster, body: &Body) -> Result<Instance, JobError> {
    let members = run.members(cluster).await?;
    let found = members.into_iter().find(|one| one.id == body.instance);
    found.ok_or(JobError::Gone)
}

fn is_up(tx: &mut dyn Tx, body: &Body) -> Result<Option<catalog::Stored<Instance>>, CatalogError> {
    let Some(mut stored) = instances::of_id(tx, &body.cluster, &body.instance)? else {
        return Ok(None);
    };
    if stored.value.status != InstanceStatus::Rebooting {
        return Ok(None);
    }
    stored.value.status = InstanceStatus::Available;
    instances::update(tx, stored).map(Some)
}
