//! Makes a reader of a cluster: a server that follows the writer, and then the commit that names it.
use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, instances, jobs, uids};
use engine::ServerState;
use model::{
    Cluster, ClusterStatus, Instance, InstanceId, InstanceStatus, Job, Placement, ResourceId, Told,
    instance::{Followed, link},
};

use super::{
    JobError, Reason,
    on_instance::Body,
    run::{JobType, Run},
};
use crate::{
    clusters::{addresses, files},
    events::kinds::{self, OfInstance},
    fault::chain,
};

/// The kind.
#[derive(Debug)]
pub struct CreateInstance;

impl JobType for CreateInstance {
    const NAME: &'static str = "create-instance";
    const WORKS_ON: &'static str = "cluster";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        self::give_up(tx, job, reason)
    }
}

/// A reader that was made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    id: InstanceId,
    place: Placement,
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let cluster = run.cluster(&body.cluster).await?;
    let members = run.members(&cluster).await?;
    let instance = members.iter().find(|one| one.id == body.instance);
    let instance = instance.ok_or(JobError::Gone)?;
    let writer = run.placed(&cluster).await?;
    let tried = async {
        renew_writer(run, &cluster).await?;
        make(run, &cluster, instance, &writer).await
    };
    let made = match tried.await {
        Err(JobError::Fail(reason)) => return Err(again(run, &cluster, &writer, reason).await?),
        made => made?,
    };
    let lease = run.lease.clone();
    let id = body.cluster.clone();
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            let cluster = rows::get_by_resource_id(tx, &id)?.ok_or(JobError::Gone)?;
            is_made(tx, &id, &made)?;
            instances::relink(tx, &cluster.value)?;
            jobs::finish(tx, &lease, &jobs::End::Done)?;
            Ok::<_, JobError>(())
        })
        .await?;
    if let Err(error) = renew_writer(run, &cluster).await {
        tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the writer does not know its new reader yet");
    }
    Ok(())
}

/// What becomes of a try that failed: when the server that was copied has ended, or takes the writes no more,
/// the next one copies the one that does by then.
async fn again(
    run: &Run,
    cluster: &Cluster,
    copied: &Placement,
    reason: Reason,
) -> Result<JobError, JobError> {
    let now = run.cluster(&cluster.resource_id).await?;
    let writer = run.writer_place(cluster).await?;
    let is_same = writer.is_some_and(|writer| writer.member == copied.member);
    if now.status == ClusterStatus::FailingOver || !is_same {
        return Ok(JobError::Wait(reason));
    }
    if copied.node != run.context.settings.node {
        return Ok(JobError::Fail(reason));
    }
    let home = files::home(&run.context, cluster, copied);
    let state = run.context.engine_of(cluster)?.state(&home).await?;
    Ok(match state {
        ServerState::Answers => JobError::Fail(reason),
        ServerState::Ended | ServerState::Silent => JobError::Retry(reason),
    })
}

/// Lets the cluster's writer know who follows it. On another node that is for whoever sees to it there.
pub(super) async fn renew_writer(run: &Run, cluster: &Cluster) -> Result<(), JobError> {
    let writer = run.placed(cluster).await?;
    match writer.node == run.context.settings.node {
        true => renew(run, cluster, &writer).await,
        false => Ok(()),
    }
}

/// Lets a writer know who follows it.
pub(super) async fn renew(
    run: &Run,
    cluster: &Cluster,
    writer: &Placement,
) -> Result<(), JobError> {
    let home = files::home(&run.context, cluster, writer);
    let engine = run.context.engine_of(cluster)?;
    Ok(run.slot.waiting(engine.renew(&home)).await?)
}

/// Makes an instance's server in a folder of this try's own, which follows the one at `writer`.
async fn make(
    run: &Run,
    cluster: &Cluster,
    instance: &Instance,
    writer: &Placement,
) -> Result<Made, JobError> {
    let context = &run.context;
    let mut place = Placement {
        attempt: instance.placement.attempt_of(run.lease.fence),
        os_uid: os_uid(run, cluster, instance).await?,
        ..instance.placement.clone()
    };
    // The records do not know yet where a new cluster's writer is.
    place.replication.follows = Some(Box::new(Followed::at(writer)));
    run.clear_other_attempts(cluster, &place).await?;
    let place = addresses::secure(context, cluster, place).await?;
    let home = files::home(context, cluster, &place);
    run.make_way(&home).await?;
    let engine = context.engine_of(cluster)?;
    run.slot.waiting(engine.follow(&home)).await?;
    context.answering.note_of(instance, true);
    Ok(Made {
        id: instance.id.clone(),
        place,
    })
}

/// The OS user of an instance's server: that of its cluster's writer, or one of this machine's where that
/// may be on another one.
async fn os_uid(
    run: &Run,
    cluster: &Cluster,
    instance: &Instance,
) -> Result<Option<u32>, JobError> {
    if cluster.spread.is_none() || instance.placement.os_uid.is_some() {
        return Ok(instance.placement.os_uid);
    }
    let claimed = run.context.users.claim(&*run.context.catalog).await?;
    let (of, id, lease) = (
        cluster.resource_id.clone(),
        instance.id.clone(),
        run.lease.clone(),
    );
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            let mut stored = instances::of_id(tx, &of, &id)?.ok_or(JobError::Gone)?;
            stored.value.placement.os_uid = claimed;
            if let Some(uid) = claimed {
                uids::note(tx, uid)?;
            }
            instances::update(tx, stored)?;
            Ok::<_, JobError>(claimed)
        })
        .await
}

/// Makes the readers that a new cluster has by its record. Its writer runs at `writer`, and waits for
/// them from here on where its commits are to.
pub(super) async fn make_all(
    run: &Run,
    cluster: &Cluster,
    writer: &Placement,
) -> Result<Vec<Made>, JobError> {
    let members = run.members(cluster).await?;
    let readers: Vec<&Instance> = members.iter().filter(|one| !one.is_writer()).collect();
    if readers.is_empty() {
        return Ok(Vec::new());
    }
    renew(run, cluster, writer).await?;
    let all = readers
        .iter()
        .map(|reader| make(run, cluster, reader, writer));
    let made: Vec<Made> = futures_util::future::try_join_all(all).await?;
    let mut then = members.clone();
    for one in &mut then {
        if let Some(made) = made.iter().find(|made| made.id == one.id) {
            one.placement = made.place.clone();
            one.status = InstanceStatus::Available;
        }
    }
    renew_linked(run, cluster, writer, then).await?;
    Ok(made)
}

/// Lets a new cluster's writer know that its readers are there.
pub(super) async fn renew_linked(
    run: &Run,
    cluster: &Cluster,
    writer: &Placement,
    mut then: Vec<Instance>,
) -> Result<(), JobError> {
    link(&mut then, cluster);
    let linked = then.iter().find(|one| one.is_writer());
    if let Some(linked) = linked {
        let place = Placement {
            replication: linked.placement.replication.clone(),
            ..writer.clone()
        };
        renew(run, cluster, &place).await?;
    }
    Ok(())
}

/// Writes down that a reader is there.
pub(super) fn is_made(tx: &mut dyn Tx, cluster: &ResourceId, made: &Made) -> Result<(), JobError> {
    let mut stored = instances::of_id(tx, cluster, &made.id)?.ok_or(JobError::Gone)?;
    let instance = &mut stored.value;
    // What it follows may have changed meanwhile; where it is has not.
    instance.placement.attempt.clone_from(&made.place.attempt);
    instance.status = InstanceStatus::Available;
    let stored = instances::update(tx, stored)?;
    Ok(kinds::instance(tx, &stored.value, OfInstance::Created)?)
}

fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    let Ok(body) = super::run::body::<Body>(job) else {
        return Ok(());
    };
    let Some(mut stored) = instances::of_id(tx, &body.cluster, &body.instance)? else {
        return Ok(());
    };
    stored.value.status = InstanceStatus::Failed;
    stored.value.failure = Some(reason.clone());
    let stored = instances::update(tx, stored)?;
    if let Some(cluster) = rows::get_by_resource_id(tx, &body.cluster)? {
        instances::relink(tx, &cluster.value)?;
    }
    kinds::instance(tx, &stored.value, OfInstance::Failed(reason))
}
