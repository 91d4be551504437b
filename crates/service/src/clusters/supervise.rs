//! Keeps the servers of this node's clusters running.
//!
//! Each cluster is seen to by a task of its own: a server that hangs holds up nothing but itself.
//! It does not know how a server is begun; the engine does.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt, clusters,
    instances::{self, Member},
    jobs,
};
use engine::ServerState;
use model::{Cluster, ClusterStatus, Instance, InstanceId, InstanceStatus, Told};
use tokio::{task::JoinHandle, time::Instant};

use super::files::home;
use crate::{
    background::{Next, Task, TaskError},
    clusters::addresses,
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::chain,
    jobs::{JobError, failover, failover_cluster},
};

/// How often a cluster's server is looked at.
const KEEP_POLL: Duration = Duration::from_secs(5);
/// The longest pause after tries that failed, and before a server is started that ends again and
/// again.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A server that ran for so long beyond the pause before its start is well.
const WELL: Duration = Duration::from_secs(60);

/// Looks in a row that found a writer's server silent, after which a reader takes its writes.
const SILENT_MAX: u32 = 6;
/// Looks in a row that found a reader that hears nothing of its writer, after which it is made anew.
const APART_MAX: u32 = 12;

/// How an instance's server was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It runs, or waits for its start.
    Found,
    /// It was down, and was started.
    Started,
    /// It lives, and takes no sessions.
    Silent,
    /// It hears nothing of the one that it follows.
    Apart,
}

/// What a look may do.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    may_start: bool,
    /// Whether the look before this one did not fail.
    was_well: bool,
    /// Looks in a row before this one that found it silent.
    silent: u32,
    /// Looks in a row before this one that found it apart.
    apart: u32,
}

/// When a server that ends again and again is started: whoever ends it, its owner as a rule, is not
/// to make this node recover databases without a pause.
#[derive(Debug, Default)]
struct Restarts {
    last: Option<Instant>,
    /// Starts in a row after which the server was not well.
    vain: u32,
}

impl Restarts {
    /// None before the second start, then twice as long each time.
    fn pause(&self) -> Duration {
        match self.vain {
            0 => Duration::ZERO,
            vain => PAUSE_MAX.min(KEEP_POLL.saturating_mul(1 << (vain - 1).min(10))),
        }
    }

    fn may_start(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| last + self.pause() <= now)
    }

    fn started(&mut self, now: Instant) {
        self.vain = match self.last {
            Some(last) if now < last + self.pause() + WELL => self.vain + 1,
            _ => 0,
        };
        self.last = Some(now);
    }
}

/// What the supervisor knows of one instance.
#[derive(Debug)]
struct Watch {
    /// The look that is under way.
    look: Option<JoinHandle<Result<Seen, JobError>>>,
    /// Looks in a row that failed.
    failures: u32,
    next: Instant,
    restarts: Restarts,
    silent: u32,
    apart: u32,
}

impl Watch {
    fn new() -> Self {
        Self {
            look: None,
            failures: 0,
            next: Instant::now(),
            restarts: Restarts::default(),
            silent: 0,
            apart: 0,
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            may_start: self.restarts.may_start(Instant::now()),
            was_well: self.failures == 0,
            silent: self.silent,
            apart: self.apart,
        }
    }

    /// Whether a look is due: the last one has ended, and its pause is over.
    async fn is_due(&mut self) -> bool {
        if self.look.as_ref().is_some_and(|look| !look.is_finished()) {
            return false;
        }
        if let Some(ended) = self.look.take() {
            // A look that panicked has failed, too.
            match ended.await {
                Ok(Ok(seen)) => {
                    self.failures = 0;
                    self.silent = if seen == Seen::Silent {
                        self.silent + 1
                    } else {
                        0
                    };
                    self.apart = if seen == Seen::Apart {
                        self.apart + 1
                    } else {
                        0
                    };
                    if seen == Seen::Started {
                        self.restarts.started(Instant::now());
                    }
                }
                _ => self.failures += 1,
            }
            let pause = KEEP_POLL.saturating_mul(1 << self.failures.min(10));
            self.next = match self.failures {
                0 => Instant::now(),
                _ => Instant::now() + pause.min(PAUSE_MAX),
            };
        }
        self.next <= Instant::now()
    }
}

/// How long a server may take to stop that is not to run.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Starts, or adopts, every cluster of this node whose record says `available`, and goes on
/// seeing to it that they run; and that those do not that are `stopped`.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    watches: HashMap<InstanceId, Watch>,
}

#[async_trait]
impl Task for Supervisor {
    fn name(&self) -> String {
        "cluster_supervisor".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        KEEP_POLL
    }

    async fn woken(&self, context: &ServiceContext) {
        tokio::select! {
            () = context.engines.ended() => {}
            () = context.servers_changed.notified() => {}
        }
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let members = settled(context)
            .await
            .map_err(|error| TaskError::doing("the list of clusters could not be read", &error))?;
        look_at(context, members, &mut self.watches).await;
        Ok(Next::Period)
    }

    /// Each look hears the stop; a start must not come after the servers' end.
    async fn end(self: Box<Self>) {
        for look in self.watches.into_values().filter_map(|watch| watch.look) {
            // Its outcome is in the log.
            let _ = look.await;
        }
    }
}

/// Those that no job is at work on.
async fn settled(context: &ServiceContext) -> Result<Vec<Member>, CatalogError> {
    let node = context.settings.node.clone();
    let found = context
        .catalog
        .read(move |tx| instances::on_node(tx, &node))
        .await?;
    let is_settled = |member: &Member| {
        matches!(
            member.cluster.status,
            ClusterStatus::Available | ClusterStatus::Stopped
        ) && member.instance.status == InstanceStatus::Available
            && member.instance.placement.is_whole()
    };
    Ok(found.into_iter().filter(is_settled).collect())
}

async fn look_at(
    context: &Arc<ServiceContext>,
    members: Vec<Member>,
    watches: &mut HashMap<InstanceId, Watch>,
) {
    let wanted: HashSet<&InstanceId> = members.iter().map(|one| &one.instance.id).collect();
    // One that is deleted meanwhile is looked at to the end: its removal waits for nobody.
    watches.retain(|id, watch| {
        wanted.contains(id) || watch.look.as_ref().is_some_and(|look| !look.is_finished())
    });
    for member in members {
        let watch = watches
            .entry(member.instance.id.clone())
            .or_insert_with(Watch::new);
        if watch.is_due().await {
            let bounds = watch.bounds();
            watch.look = Some(tokio::spawn(look(context.clone(), member, bounds)));
        }
    }
}

async fn look(
    context: Arc<ServiceContext>,
    member: Member,
    bounds: Bounds,
) -> Result<Seen, JobError> {
    let cluster = &member.cluster;
    let seen = tokio::select! {
        seen = look_in_turn(&context, &member, bounds) => seen,
        () = context.stopped() => Ok(Seen::Found),
    };
    if let Err(error) = &seen {
        tracing::warn!(cluster = %cluster.name, account = %cluster.account, cause = %chain(error), "the cluster's server is not well");
        if let (JobError::Fail(reason), true) = (error, bounds.was_well) {
            tell_down(&context, cluster, &reason.told).await;
        }
    }
    seen
}

/// Tells the cluster's owner why its database is down, or why nobody can tell.
async fn tell_down(context: &ServiceContext, cluster: &Cluster, reason: &Told) {
    let (id, reason) = (cluster.resource_id.clone(), reason.clone());
    let written = context
        .catalog
        .write(move |tx| match clusters::get_by_resource_id(tx, &id)? {
            // One that is being deleted is to be down.
            Some(stored) if stored.value.status == ClusterStatus::Available => {
                kinds::cluster(tx, &stored.value, OfCluster::Down(&reason))
            }
            _ => Ok(()),
        })
        .await;
    if let Err(error) = written {
        tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the cluster's owner is not told");
    }
}

/// Looks at one instance's server while nobody else begins or ends it.
async fn look_in_turn(
    context: &ServiceContext,
    member: &Member,
    bounds: Bounds,
) -> Result<Seen, JobError> {
    let _turn = context.server_turns.of(&member.instance.id).await;
    // Since it was listed, a job may have stopped or moved it.
    if !is_still_so(context, member).await? {
        return Ok(Seen::Found);
    }
    match member.cluster.status {
        ClusterStatus::Stopped => keep_stopped(context, member).await,
        _ => see_to(context, member, bounds).await,
    }
}

async fn is_still_so(context: &ServiceContext, member: &Member) -> Result<bool, CatalogError> {
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

/// Sees to it that an instance of a stopped cluster has no server, and that nobody else takes its
/// address.
async fn keep_stopped(context: &ServiceContext, member: &Member) -> Result<Seen, JobError> {
    let Member { cluster, instance } = member;
    let home = home(context, cluster, &instance.placement);
    let engine = context.engine_of(cluster)?;
    if engine.state(&home).await? != ServerState::Ended {
        tracing::info!(cluster = %cluster.name, "stopping the cluster's server");
        engine.stop(&home, STOP_PATIENCE).await?;
    }
    context.answering.note_of(instance, false);
    if let Err(error) = engine.hold(&home) {
        // Another address is found when it is started.
        tracing::debug!(cluster = %cluster.name, cause = %chain(&error), "the cluster's address is not held");
    }
    Ok(Seen::Found)
}

/// Makes one instance's server run, once it may be started, and notes whether it takes sessions.
async fn see_to(
    context: &ServiceContext,
    member: &Member,
    bounds: Bounds,
) -> Result<Seen, JobError> {
    let Member { cluster, instance } = member;
    let home = home(context, cluster, &instance.placement);
    let note = |answers| context.answering.note_of(instance, answers);
    // What cannot be told changes nothing: neither the server nor what is said of it.
    let engine = context.engine_of(cluster)?;
    match engine.state(&home).await? {
        ServerState::Answers => {
            if note(true) {
                tracing::info!(cluster = %cluster.name, "the cluster's server answers");
            }
            engine.trim_log(&home).await?;
            if !is_still(context, member).await? {
                return Ok(Seen::Found);
            }
            engine.renew(&home).await?;
            match instance.is_writer() {
                true => Ok(Seen::Found),
                false => keep_following(context, member, bounds).await,
            }
        }
        ServerState::Silent => {
            if note(false) {
                tracing::warn!(cluster = %cluster.name, "the cluster's server does not answer");
            }
            if SILENT_MAX <= bounds.silent && give_over(context, member).await? {
                return Ok(Seen::Found);
            }
            Ok(Seen::Silent)
        }
        ServerState::Ended if give_over(context, member).await? => {
            note(false);
            Ok(Seen::Found)
        }
        ServerState::Ended if !bounds.may_start => {
            if note(false) {
                tracing::warn!(cluster = %cluster.name, "the cluster's server ended again soon after its start, so the next one waits");
            }
            Ok(Seen::Found)
        }
        ServerState::Ended => {
            note(false);
            unfence(context, member).await?;
            tracing::info!(cluster = %cluster.name, "starting the cluster's server");
            addresses::start(context, cluster, instance.placement.clone()).await?;
            note(true);
            Ok(Seen::Started)
        }
    }
}

/// Whether the records still say of an instance what they said when the look began: settings that
/// were right then must not come after newer ones.
async fn is_still(context: &ServiceContext, member: &Member) -> Result<bool, JobError> {
    let (id, instance) = (member.cluster.resource_id.clone(), &member.instance);
    let (wanted, status) = (instance.id.clone(), member.cluster.status);
    let now = context
        .catalog
        .read(move |tx| {
            let cluster = clusters::get_by_resource_id(tx, &id)?;
            let there = cluster.is_some_and(|cluster| cluster.value.status == status);
            let found = instances::of_id(tx, &id, &wanted)?;
            Ok::<_, CatalogError>(found.filter(|_| there))
        })
        .await?;
    Ok(now.is_some_and(|now| {
        now.value.placement == instance.placement && now.value.role == instance.role
    }))
}

/// Lets a writer start again that was ended for another one which then did not take its place.
async fn unfence(context: &ServiceContext, member: &Member) -> Result<(), JobError> {
    let Member { cluster, instance } = member;
    let home = home(context, cluster, &instance.placement);
    let engine = context.engine_of(cluster)?;
    // Read before the records: a later fence has another token.
    if instance.is_writer()
        && let Some(token) = engine.fenced(&home).await?
        && is_still(context, member).await?
    {
        engine.unfence(&home, &token).await?;
    }
    Ok(())
}

/// Looks whether a reader hears of its writer; one that does not for long, while the writer answers,
/// cannot go on from where it is.
async fn keep_following(
    context: &ServiceContext,
    member: &Member,
    bounds: Bounds,
) -> Result<Seen, JobError> {
    let Member { cluster, instance } = member;
    let home = home(context, cluster, &instance.placement);
    let engine = context.engine_of(cluster)?;
    if engine.replica(&home).await?.is_connected
        || !context.answering.contains(&cluster.resource_id)
    {
        return Ok(Seen::Found);
    }
    if bounds.apart < APART_MAX {
        return Ok(Seen::Apart);
    }
    tracing::warn!(cluster = %cluster.name, instance = %instance.id.as_str(), "a reader hears nothing of its writer, so it is made anew");
    engine.follow_again(&home).await?;
    Ok(Seen::Started)
}

/// Has a reader take the writes of a cluster whose writer is down, when one can. Answers whether one
/// will: then the writer is not started.
async fn give_over(context: &ServiceContext, member: &Member) -> Result<bool, JobError> {
    let Member { cluster, instance } = member;
    if !instance.is_writer() || !instance.placement.has_peers() {
        return Ok(false);
    }
    let id = cluster.resource_id.clone();
    let members = context
        .catalog
        .read(move |tx| instances::of_cluster(tx, &id))
        .await?;
    let members: Vec<Instance> = members.into_iter().map(|stored| stored.value).collect();
    if failover::candidates(context, cluster, &members)
        .await?
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_again_and_again_waits_longer_each_time() {
        let mut restarts = Restarts::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(restarts.may_start(now + restarts.pause()));
            now += restarts.pause();
            restarts.started(now);
            pauses.push(restarts.pause().as_secs());
            assert!(restarts.pause().is_zero() || !restarts.may_start(now));
        }
        assert_eq!(pauses, [0, 5, 10, 20, 40, 60, 60, 60]);
        // It ran for a minute beyond its pause.
        now += restarts.pause() + WELL;
        restarts.started(now);
        assert_eq!(restarts.pause(), Duration::ZERO);
    }
}
