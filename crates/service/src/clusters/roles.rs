//! Who of a cluster's servers takes writes, as whoever sees to them finds it: a writer that is down
//! gives over to a reader, and a reader that lost its writer is made again.
//!
//! It does not know how a server is looked at, nor how often.
use catalog::{
    CatalogError, CatalogExt, clusters,
    instances::{self, Member},
    jobs,
};
use model::{ClusterStatus, Instance};

use super::{files::home, handover_keeper};
use crate::{
    context::ServiceContext,
    jobs::{JobError, failover, failover_cluster},
};

/// Whether the records still say of an instance what they said when the look at it began.
pub(super) async fn is_still_so(
    context: &ServiceContext,
    member: &Member,
) -> Result<bool, CatalogError> {
    let (status, instance) = (member.cluster.status, member.instance.clone());
    context
        .catalog
        .read(move |tx| {
            let cluster = clusters::get_by_resource_id(tx, &instance.cluster)?;
            let now = instances::of_id(tx, &instance.cluster, &instance.id)?;
            Ok::<_, CatalogError>(
                cluster.is_some_and(|stored| stored.value.status == status)
                    && now.is_some_and(|stored| stored.value == instance),
            )
        })
        .await
}

/// Lets a writer start again that was ended for another one which then did not take its place.
pub(super) async fn unfence(context: &ServiceContext, member: &Member) -> Result<(), JobError> {
    let Member { cluster, instance } = member;
    let home = home(context, cluster, &instance.placement);
    let engine = context.engine_of(cluster)?;
    // Read before the records: a later fence has another token.
    if instance.is_writer()
        && let Some(token) = engine.fenced(&home).await?
        && is_still_so(context, member).await?
    {
        engine.unfence(&home, &token).await?;
    }
    Ok(())
}

/// How a reader's server that answers stands to its writer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bond {
    /// It follows, or its writer answers nobody.
    Follows,
    /// It hears nothing of its writer, which answers.
    Apart,
    /// It does not follow: a process that ended before it was through left it as it was about to come
    /// back, say.
    None,
}

/// Asks a reader's server how it stands to its writer's.
pub(super) async fn bond(context: &ServiceContext, member: &Member) -> Result<Bond, JobError> {
    let Member { cluster, instance } = member;
    let home = home(context, cluster, &instance.placement);
    let replica = context.engine_of(cluster)?.replica(&home).await?;
    let writer_answers = match cluster.spread.is_some() {
        true => handover_keeper::has_writer(context, member).await?,
        false => context.answering.contains(&cluster.resource_id),
    };
    Ok(match (replica.follows, replica.is_connected) {
        (false, _) => Bond::None,
        (true, false) if writer_answers => Bond::Apart,
        (true, _) => Bond::Follows,
    })
}

/// Makes a reader again that cannot go on from where it is.
pub(super) async fn copy_again(context: &ServiceContext, member: &Member) -> Result<(), JobError> {
    let Member { cluster, instance } = member;
    tracing::warn!(cluster = %cluster.name, instance = %instance.id.as_str(), "a reader hears nothing of its writer, so it is copied again");
    let home = home(context, cluster, &instance.placement);
    Ok(context.engine_of(cluster)?.follow_again(&home).await?)
}

/// Has a reader take the writes of a cluster whose writer is down, when one can. Answers whether one
/// will: then the writer is not started.
pub(super) async fn give_over(context: &ServiceContext, member: &Member) -> Result<bool, JobError> {
    let Member { cluster, instance } = member;
    if !instance.is_writer() || !instance.placement.has_peers() {
        return Ok(false);
    }
    if cluster.spread.is_some() {
        // One that was ended for another one which then did not take its place is started again.
        let home = home(context, cluster, &instance.placement);
        let was_ended = context.engine_of(cluster)?.fenced(&home).await?.is_some();
        return match was_ended {
            true => Ok(false),
            false => handover_keeper::begin(context, member).await,
        };
    }
    let id = cluster.resource_id.clone();
    let members = context
        .catalog
        .read(move |tx| instances::of_cluster(tx, &id))
        .await?;
    let members: Vec<Instance> = members.into_iter().map(|stored| stored.value).collect();
    if failover::candidates(context, cluster, &members)
        .await?
        .ready
        .is_empty()
    {
        return Ok(false);
    }
    let body = failover_cluster::Body {
        cluster: cluster.resource_id.clone(),
        from: instance.id.clone(),
        target: None,
    };
    let job = failover_cluster::job(context, cluster, &body);
    tracing::warn!(cluster = %cluster.name, "the cluster's writer is down, so a reader takes its writes");
    context
        .catalog
        .write(move |tx| {
            let stored = clusters::get_by_resource_id(tx, &body.cluster)?;
            let Some(mut stored) = stored else {
                return Ok(false);
            };
            let writer = instances::writer(tx, &body.cluster)?;
            if stored.value.status != ClusterStatus::Available
                || writer.is_none_or(|writer| writer.value.id != body.from)
            {
                return Ok(true);
            }
            stored.value.status = ClusterStatus::FailingOver;
            clusters::update(tx, stored)?;
            jobs::insert(tx, &job)?;
            Ok::<_, JobError>(true)
        })
        .await
}
