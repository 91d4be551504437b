//! Sees to it that a Multi-AZ DB cluster whose instances are on several nodes takes writes: notices that
//! its writer is gone with its node, and does this node's part in a handover.
//!
//! Nodes do not speak to one another: each does what the records say, and notes there that it is done.
//! Which node lives is told by whether its heartbeat moves, by this process's own clock.
use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt, clusters,
    instances::{self, Member},
    nodes::{self, NodeState},
};
use engine::ServerState;
use model::{ClusterStatus, Handover, Instance, InstanceId, Spread, limits};
use tokio::{task::JoinHandle, time::Instant};

use super::{
    addresses,
    files::home,
    handover,
    obstacle::Obstacle,
    pulses::{Life, Pulses},
    step_down::token,
};
use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
    fault::chain,
    jobs::JobError,
};

/// How often this node looks when it has such clusters, and when it has none.
const POLL: Duration = Duration::from_secs(1);
const POLL_WITHOUT: Duration = Duration::from_secs(5);
/// How long the old writer may take to end in order when it runs.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the readers of a handover wait for that.
const END_WAIT: Duration = Duration::from_secs(20);
/// Looks in a row that found a writer to whom no reader listens, after which another one takes its place.
const UNHEARD_MAX: u32 = 20;
/// Tries at a new writer's address that others take.
const TRIES: usize = 4;

/// What a look does for one instance, and what it knows.
struct Look {
    member: Member,
    /// The cluster's writer.
    writer: Instance,
    /// How the writer's node is.
    life: Life,
    /// Looks in a row in which no reader listened to the writer.
    unheard: u32,
    /// What the look before this one found in the way of a handover.
    known: Option<Obstacle>,
}

/// What a look found.
#[derive(Debug, Default)]
struct Found {
    /// A writer that no reader listens to.
    unheard: bool,
    /// What is in the way of a handover that is wanted.
    obstacle: Option<Obstacle>,
}

/// What is known of one instance.
#[derive(Debug, Default)]
struct Watch {
    look: Option<JoinHandle<Found>>,
    unheard: u32,
    known: Option<Obstacle>,
}

/// The task.
#[derive(Debug, Default)]
pub(crate) struct HandoverKeeper {
    pulses: Pulses,
    watches: HashMap<InstanceId, Watch>,
}

#[async_trait]
impl Task for HandoverKeeper {
    fn name(&self) -> String {
        "cluster_handovers".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        match self.watches.is_empty() {
            true => POLL_WITHOUT,
            false => POLL,
        }
    }

    fn rest(&self, context: &ServiceContext, _failures: u32) -> Duration {
        self.period(context)
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let seen = match read(context).await {
            Ok(seen) => seen,
            Err(error) => {
                self.pulses.forget();
                return Err(error.into());
            }
        };
        let now = Instant::now();
        self.pulses.see(&seen.nodes, now);
        let is_here = |id: &InstanceId| seen.members.iter().any(|(one, _)| one.instance.id == *id);
        self.watches.retain(|id, watch| {
            is_here(id) || watch.look.as_ref().is_some_and(|look| !look.is_finished())
        });
        for (member, writer) in seen.members {
            let life = self.pulses.node(&writer.placement.node, now);
            let watch = self.watches.entry(member.instance.id.clone()).or_default();
            watch.go_on(context, member, writer, life).await;
        }
        Ok(Next::Period)
    }

    /// What was begun is ended in order: a server must not be promoted after the others' end.
    async fn end(self: Box<Self>) {
        for look in self.watches.into_values().filter_map(|watch| watch.look) {
            // Its outcome is in the log.
            let _ = look.await;
        }
    }
}

impl Watch {
    async fn go_on(
        &mut self,
        context: &Arc<ServiceContext>,
        member: Member,
        writer: Instance,
        life: Life,
    ) {
        if self.look.as_ref().is_some_and(|look| !look.is_finished()) {
            return;
        }
        if let Some(look) = self.look.take() {
            let found = look.await.unwrap_or_default();
            self.unheard = match found.unheard {
                true => self.unheard + 1,
                false => 0,
            };
            self.known = found.obstacle;
        }
        let look = Look {
            member,
            writer,
            life,
            unheard: self.unheard,
            known: self.known.clone(),
        };
        let context = context.clone();
        self.look = Some(tokio::spawn(async move {
            let seen = tokio::select! {
                seen = look.go(&context) => seen,
                () = context.stopped() => Ok(Found::default()),
            };
            seen.unwrap_or_else(|error| {
                tracing::warn!(cluster = %look.member.cluster.name, instance = %look.member.instance.id.as_str(), cause = %chain(&error), "a handover waits");
                Found::default()
            })
        }));
    }
}

struct Seen {
    nodes: Vec<nodes::Node>,
    /// This node's instances of clusters on several nodes, each with its writer.
    members: Vec<(Member, Instance)>,
}

async fn read(context: &ServiceContext) -> Result<Seen, CatalogError> {
    let node = context.settings.node.clone();
    let read = context.catalog.read(move |tx| {
        let mut members = Vec::new();
        for member in instances::on_node(tx, &node)? {
            if member.cluster.spread.is_some()
                && let Some(writer) = instances::writer(tx, &member.cluster.resource_id)?
            {
                members.push((member, writer.value));
            }
        }
        let nodes = match members.is_empty() {
            true => Vec::new(),
            false => nodes::list(tx)?.into_iter().map(|one| one.node).collect(),
        };
        Ok::<_, CatalogError>(Seen { nodes, members })
    });
    read.await
}

impl Look {
    /// Does what is to be done.
    async fn go(&self, context: &ServiceContext) -> Result<Found, JobError> {
        let status = self.member.cluster.status;
        let is_writer = self.member.instance.is_writer();
        let has_readers = status == ClusterStatus::Available || status.is_changing();
        if has_readers {
            self.look_at_files(context).await?;
        }
        match status {
            ClusterStatus::Available if is_writer => self.listen(context).await,
            ClusterStatus::FailingOver => {
                self.hand_over(context).await?;
                Ok(Found::default())
            }
            ClusterStatus::Available => self.watch(context).await,
            other if !is_writer && handover::is_given_up_without_its_node(other) => {
                self.watch(context).await
            }
            _ => Ok(Found::default()),
        }
    }

    /// Notes in the records whether this node's reader has its files, where they say something else.
    async fn look_at_files(&self, context: &ServiceContext) -> Result<(), JobError> {
        let Member { cluster, instance } = &self.member;
        let (Some(spread), true) = (&cluster.spread, instance.placement.is_whole()) else {
            return Ok(());
        };
        let home = home(context, cluster, &instance.placement);
        let is_whole = instance.is_writer() || context.engine_of(cluster)?.is_whole(&home).await?;
        if is_whole != spread.unready.contains(&instance.id) {
            return Ok(());
        }
        let member = self.member.clone();
        let noted = context
            .catalog
            .write(move |tx| handover::note_files(tx, &member, is_whole));
        Ok(noted.await?)
    }

    /// Looks whether any reader listens to this node's writer. To one that none listens to clients cannot
    /// commit, though it lives.
    async fn listen(&self, context: &ServiceContext) -> Result<Found, JobError> {
        let Member { cluster, instance } = &self.member;
        let home = home(context, cluster, &instance.placement);
        let engine = context.engine_of(cluster)?;
        if engine.state(&home).await? != ServerState::Answers {
            return Ok(Found::default());
        }
        let replica = engine.replica(&home).await?;
        let unheard = !replica.follows && replica.heard_by == 0;
        let obstacle = match unheard && UNHEARD_MAX <= self.unheard {
            true => {
                let why = "no reader hears from the cluster's writer";
                self.begin(context, why, Begin::Known).await?
            }
            false => None,
        };
        Ok(Found { unheard, obstacle })
    }

    /// Looks whether the writer's node lives, whose reader this node has.
    async fn watch(&self, context: &ServiceContext) -> Result<Found, JobError> {
        let Member { cluster, instance } = &self.member;
        let is_gone = match self.life {
            Life::Lives => false,
            Life::Silent => true,
            Life::Stopped => {
                let home = home(context, cluster, &instance.placement);
                let replica = context.engine_of(cluster)?.replica(&home).await?;
                !replica.is_connected
            }
        };
        let obstacle = match is_gone {
            true => {
                let why = "the node of the cluster's writer is not heard of";
                self.begin(context, why, Begin::WithoutNode).await?
            }
            false => None,
        };
        Ok(Found {
            unheard: false,
            obstacle,
        })
    }

    /// Begins a handover. Answers what is in its way, and tells it once.
    async fn begin(
        &self,
        context: &ServiceContext,
        why: &str,
        how: Begin,
    ) -> Result<Option<Obstacle>, JobError> {
        let name = &self.member.cluster.name;
        let obstacle = begun(context, &self.member, &self.writer.id, how).await?;
        match &obstacle {
            None => {
                tracing::warn!(cluster = %name, node = %self.writer.placement.node, "{why}, so a reader takes its writes")
            }
            known if *known == self.known => {}
            Some(obstacle) => {
                tracing::warn!(cluster = %name, node = %self.writer.placement.node, "{why}, and no reader can take its writes: {obstacle}");
            }
        }
        Ok(obstacle)
    }

    /// Does this node's part of a handover, while nobody else begins or ends its server.
    async fn hand_over(&self, context: &ServiceContext) -> Result<(), JobError> {
        let turn = context.server_turns.of(&self.member.instance.id);
        let _turn = turn.await;
        let Some((member, spread, handover, age)) = self.again(context).await? else {
            return Ok(());
        };
        // Its own node ends the old writer, where it can: it is then as far as it told, and lets its
        // address go.
        let may_end = !handover.ended && self.life == Life::Lives && age < END_WAIT;
        let is_old = handover.from == member.instance.id;
        match &handover.chosen {
            None if is_old && handover::is_vain(&spread, age) => {
                let noted = context
                    .catalog
                    .write(move |tx| handover::give_up(tx, &member, spread.term));
                Ok(noted.await?)
            }
            None if is_old && handover.ended => Ok(()),
            None if is_old => end_writer(context, &member, &spread).await,
            None if handover.has_left(&member.instance.id) => Ok(()),
            None if may_end => Ok(()),
            None => leave(context, &member, &spread).await,
            Some(chosen) if *chosen == member.instance.id => promote(context, &member).await,
            Some(_) if is_old => Ok(()),
            Some(_) => {
                // It follows the new writer as soon as that is there.
                let home = home(context, &member.cluster, &member.instance.placement);
                Ok(context.engine_of(&member.cluster)?.renew(&home).await?)
            }
        }
    }

    /// What the records say now, of a handover that is under way, and how long it has been that.
    async fn again(
        &self,
        context: &ServiceContext,
    ) -> Result<Option<(Member, Spread, Handover, Duration)>, CatalogError> {
        let Instance { cluster, id, .. } = self.member.instance.clone();
        let found = context.catalog.read(move |tx| {
            let found = clusters::get_by_resource_id(tx, &cluster)?;
            let instance = instances::of_id(tx, &cluster, &id)?;
            Ok::<_, CatalogError>((found.zip(instance), tx.now()))
        });
        let (Some((cluster, instance)), now) = found.await? else {
            return Ok(None);
        };
        let member = Member {
            cluster: cluster.value,
            instance: instance.value,
        };
        let spread = member.cluster.spread.as_deref().cloned();
        Ok(spread.and_then(|spread| {
            let handover = spread.handover.clone()?;
            let age = now.since(handover.since);
            Some((member, spread, handover, age))
        }))
    }
}

/// What is known of the writer's node when a handover is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// It goes on with what is being done with the cluster.
    Known,
    /// It is gone.
    WithoutNode,
}

async fn begun(
    context: &ServiceContext,
    member: &Member,
    from: &InstanceId,
    how: Begin,
) -> Result<Option<Obstacle>, CatalogError> {
    let (cluster, from) = (member.cluster.resource_id.clone(), from.clone());
    let begun = context.catalog.write(move |tx| match how {
        Begin::Known => handover::begin(tx, &cluster, |new| new, &from),
        Begin::WithoutNode => handover::begin_without_its_node(tx, &cluster, &from),
    });
    begun.await
}

/// Begins a handover of the writes of a cluster whose writer, here, is down, where its readers can take them.
/// Answers whether one is under way.
///
/// # Errors
/// The catalog's.
pub(super) async fn begin(context: &ServiceContext, member: &Member) -> Result<bool, JobError> {
    let obstacle = begun(context, member, &member.instance.id, Begin::Known).await?;
    if let Some(obstacle) = &obstacle {
        tracing::warn!(cluster = %member.cluster.name, "the cluster's writer is down, and no reader can take its writes: {obstacle}");
    }
    Ok(obstacle.is_none())
}

/// Ends this node's writer for another one to take its place.
async fn end_writer(
    context: &ServiceContext,
    member: &Member,
    spread: &Spread,
) -> Result<(), JobError> {
    let home = home(context, &member.cluster, &member.instance.placement);
    let engine = context.engine_of(&member.cluster)?;
    let patience = match engine.state(&home).await? {
        ServerState::Answers => PATIENCE,
        ServerState::Ended | ServerState::Silent => Duration::ZERO,
    };
    engine.fence(&home, &token(spread.term), patience).await?;
    // On one machine the new writer gets its address.
    engine.release(&home);
    context.answering.note_of(&member.instance, false);
    let (member, term) = (member.clone(), spread.term);
    let noted = context
        .catalog
        .write(move |tx| handover::ended(tx, &member, term));
    Ok(noted.await?)
}

/// Has this node's reader leave the old writer, and notes how far it is.
async fn leave(context: &ServiceContext, member: &Member, spread: &Spread) -> Result<(), JobError> {
    let home = home(context, &member.cluster, &member.instance.placement);
    let engine = context.engine_of(&member.cluster)?;
    let standing = engine.leave(&home, spread.term).await?;
    tracing::info!(cluster = %member.cluster.name, instance = %member.instance.id.as_str(), position = standing.position, timeline = standing.timeline, "a reader has left the writer");
    let (member, term) = (member.clone(), spread.term);
    let noted = context
        .catalog
        .write(move |tx| handover::left(tx, &member, term, standing));
    noted.await?;
    Ok(())
}

/// Lets this node's reader take the writes.
async fn promote(context: &ServiceContext, member: &Member) -> Result<(), JobError> {
    let cluster = &member.cluster;
    let engine = context.engine_of(cluster)?;
    let mut writer = member.instance.clone();
    for _ in 0..TRIES {
        let home = home(context, cluster, &writer.placement);
        engine.release(&home);
        match engine.promote(&home, None).await {
            Err(error) if addresses::is_taken(&error) => {
                writer.placement = addresses::secure(context, cluster, writer.placement).await?;
            }
            done => {
                done?;
                break;
            }
        }
    }
    engine
        .renew(&home(context, cluster, &writer.placement))
        .await?;
    context.answering.note(&cluster.resource_id, true);
    let member = Member {
        cluster: cluster.clone(),
        instance: writer,
    };
    let noted = context.catalog.write(move |tx| handover::done(tx, &member));
    Ok(noted.await?)
}

/// Whether a reader's writer is on a node that lives.
///
/// # Errors
/// The catalog's.
pub(super) async fn has_writer(
    context: &ServiceContext,
    member: &Member,
) -> Result<bool, CatalogError> {
    let id = member.cluster.resource_id.clone();
    let found = context.catalog.read(move |tx| {
        let Some(writer) = instances::writer(tx, &id)? else {
            return Ok(false);
        };
        let node = nodes::get(tx, &writer.value.placement.node)?;
        let now = tx.now();
        Ok::<_, CatalogError>(node.is_some_and(|node| {
            node.state == NodeState::Serving && now.since(node.heartbeat_at) < limits::NODE_SILENCE
        }))
    });
    found.await
}
