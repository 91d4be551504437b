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
use catalog::{CatalogError, CatalogExt, clusters, instances::Member};
use engine::ServerState;
use model::{Cluster, ClusterStatus, InstanceId, InstanceRole, InstanceStatus, Told};
use tokio::{task::JoinHandle, time::Instant};

use super::{
    files::home,
    here, parameters,
    roles::{Bond, bond, copy_again, give_over, is_still_so, unfence},
    step_down::step_down,
};
use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::chain,
    jobs::JobError,
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
#[derive(Debug, Clone, Default)]
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

    /// What ended it before it changed its role says little of how it will fare now.
    fn role_changed(&mut self) {
        self.vain = self.vain.min(1);
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
    role: InstanceRole,
    restarts: Restarts,
    silent: u32,
    apart: u32,
}

impl Watch {
    fn new(role: InstanceRole) -> Self {
        Self {
            role,
            look: None,
            failures: 0,
            next: Instant::now(),
            restarts: Restarts::default(),
            silent: 0,
            apart: 0,
        }
    }

    fn bounds(&mut self, role: InstanceRole) -> Bounds {
        if self.role != role {
            self.role = role;
            self.restarts.role_changed();
        }
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
        let is_none = self.watches.is_empty();
        Ok(if is_none { Next::Changed } else { Next::Period })
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
    let found = here::members(context).await?;
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
            .or_insert_with(|| Watch::new(member.instance.role));
        if watch.is_due().await {
            let bounds = watch.bounds(member.instance.role);
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
            if !is_still_so(context, member).await? {
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
            step_down(context, member).await?;
            tracing::info!(cluster = %cluster.name, "starting the cluster's server");
            parameters::start(context, cluster, instance).await?;
            note(true);
            Ok(Seen::Started)
        }
    }
}

/// Looks whether a reader follows its writer. One that hears nothing of it for long, while it answers,
/// cannot go on from where it is; one that does not follow at all is started as what it is.
async fn keep_following(
    context: &ServiceContext,
    member: &Member,
    bounds: Bounds,
) -> Result<Seen, JobError> {
    let Member { cluster, instance } = member;
    match bond(context, member).await? {
        Bond::Follows => Ok(Seen::Found),
        Bond::Apart if bounds.apart < APART_MAX => Ok(Seen::Apart),
        Bond::Apart => {
            copy_again(context, member).await?;
            Ok(Seen::Started)
        }
        Bond::None if !bounds.may_start || !is_still_so(context, member).await? => Ok(Seen::Found),
        Bond::None => {
            tracing::warn!(cluster = %cluster.name, instance = %instance.id.as_str(), "a reader's server does not follow, so it is started anew");
            step_down(context, member).await?;
            parameters::start(context, cluster, instance).await?;
            Ok(Seen::Started)
        }
    }
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
        let mut other = restarts.clone();
        other.role_changed();
        assert_eq!(other.pause(), KEEP_POLL);
        // It ran for a minute beyond its pause.
        now += restarts.pause() + WELL;
        restarts.started(now);
        assert_eq!(restarts.pause(), Duration::ZERO);
    }
}
