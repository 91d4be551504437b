//! Sees to it that the log of every cluster whose writer runs here goes to the vault.
//!
//! It does not know how one is shipped.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use catalog::{CatalogExt, instances::Member};
use model::{ClusterStatus, Instance, InstanceStatus, ResourceId, Timestamp, Told};
use tokio::{task::JoinHandle, time::Instant};

use super::shipper;
use crate::{
    background::{Next, Task, TaskError},
    clusters::{files::home, here},
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::chain,
    jobs::JobError,
};

const PERIOD: Duration = Duration::from_secs(2);
/// How long a server may take to say how much log it keeps.
const ASK_WAIT: Duration = Duration::from_secs(2);
/// How long it rests after failures in a row, at most: commits may wait for it.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// After so long without a failure it is well again.
const WELL_AFTER: Duration = Duration::from_secs(30);
/// After so many failures in a row the cluster's owner is told.
const FAILURES_MAX: u32 = 4;

/// One cluster's log on its way.
struct Way {
    /// The server that it is read from.
    writer: Instance,
    task: Option<JoinHandle<Result<(), JobError>>>,
    begun_at: Instant,
    /// That by the node's clock, and the chunks that had been written by then.
    begun_with: (Timestamp, u64),
    failures: u32,
    next: Instant,
    /// The share that is taken of the bound on the log that the server keeps, while this fails.
    bound_taken: f64,
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The task.
#[derive(Default)]
pub(crate) struct LogKeeper {
    ways: HashMap<ResourceId, Way>,
    /// Clusters whose servers were told to keep no log for it.
    released: HashSet<ResourceId>,
}

#[async_trait]
impl Task for LogKeeper {
    fn name(&self) -> String {
        "cluster_logs".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PERIOD
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let members = here::members(context).await?;
        if context.settings.no_automated_backups {
            self.release(context, members).await;
            return Ok(Next::Period);
        }
        let writers: Vec<Member> = members.into_iter().filter(has_log).collect();
        let wanted: HashSet<&ResourceId> =
            writers.iter().map(|one| &one.cluster.resource_id).collect();
        self.ways.retain(|id, _| {
            let stays = wanted.contains(id);
            if !stays {
                context.log_windows.forget(id);
            }
            stays
        });
        let unreached = context.log_windows.unreached(wanted.into_iter());
        let unreached = i64::try_from(unreached).unwrap_or(i64::MAX);
        context.metrics.log_unstreamed.set(unreached);
        if writers.is_empty() {
            context.metrics.log_bound_taken.set(0.0);
            return Ok(Next::Changed);
        }
        for member in writers {
            self.look(context, member).await;
        }
        let taken = self.ways.values().map(|way| way.bound_taken);
        context
            .metrics
            .log_bound_taken
            .set(taken.fold(0.0, f64::max));
        Ok(Next::Period)
    }

    async fn end(self: Box<Self>) {}
}

/// Whether a server's log is to be kept: its cluster is whole, and it takes writes.
pub(crate) fn has_log(member: &Member) -> bool {
    let gone = matches!(
        member.cluster.status,
        ClusterStatus::Creating | ClusterStatus::Deleting | ClusterStatus::Failed
    );
    !gone
        && member.instance.is_writer()
        && member.instance.status == InstanceStatus::Available
        && member.instance.placement.is_whole()
        && 0 < member.cluster.backup_retention_days
}

impl LogKeeper {
    /// Sees to one cluster's log.
    async fn look(&mut self, context: &Arc<ServiceContext>, member: Member) {
        let id = member.cluster.resource_id.clone();
        let now = Instant::now();
        let way = self.ways.entry(id).or_insert_with(|| Way {
            writer: member.instance.clone(),
            task: None,
            begun_at: now,
            begun_with: (context.now(), 0),
            failures: 0,
            next: now,
            bound_taken: 0.0,
        });
        if way.writer.placement != member.instance.placement {
            // Another server takes the writes, or at another address.
            if let Some(task) = way.task.take() {
                task.abort();
            }
            way.writer = member.instance.clone();
            (way.failures, way.next) = (0, now);
        }
        if way.task.as_ref().is_some_and(|task| !task.is_finished()) {
            let (since, written) = way.begun_with;
            let resource = &member.cluster.resource_id;
            // One that hangs does not fail either: something must have come.
            if way.begun_at + WELL_AFTER < now
                && context.log_windows.got_on(resource, since, written)
            {
                way.bound_taken = 0.0;
                if FAILURES_MAX <= way.failures {
                    way.failures = 0;
                    tell(context, &member, OfCluster::LogResumed).await;
                }
            }
            return;
        }
        if let Some(task) = way.task.take() {
            // It runs for good: one that ended has failed, or its stream has ended.
            match task.await {
                Ok(Ok(())) => way.failures = 0,
                failed => way.fail(context, &member, failed).await,
            }
        }
        let runs = member.cluster.status == ClusterStatus::Available
            && context.answering.contains(&member.cluster.resource_id);
        if way.next <= Instant::now() && runs {
            way.begun_at = Instant::now();
            let written = context.log_windows.written(&member.cluster.resource_id);
            way.begun_with = (context.now(), written.unwrap_or(0));
            let ship = shipper::ship(context.clone(), member.cluster, member.instance);
            way.task = Some(tokio::spawn(ship));
        }
    }

    /// Lets servers keep no log that nobody fetches.
    async fn release(&mut self, context: &Arc<ServiceContext>, members: Vec<Member>) {
        self.ways.clear();
        for member in members.into_iter().filter(has_log) {
            let cluster = &member.cluster;
            let runs = context.answering.contains(&cluster.resource_id);
            if cluster.logs.is_empty() || !runs || self.released.contains(&cluster.resource_id) {
                continue;
            }
            let home = home(context, cluster, &member.instance.placement);
            let ended = match context.engine_of(cluster) {
                Ok(engine) => engine.end_tail(&home).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => drop(self.released.insert(cluster.resource_id.clone())),
                Err(error) => {
                    tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the cluster's server goes on keeping its log");
                }
            }
        }
    }
}

impl Way {
    async fn fail(
        &mut self,
        context: &ServiceContext,
        member: &Member,
        failed: Result<Result<(), JobError>, tokio::task::JoinError>,
    ) {
        // One that went well for long begins anew.
        if WELL_AFTER < self.begun_at.elapsed() {
            self.failures = 0;
        }
        self.failures += 1;
        let pause = Duration::from_secs(1) * (1 << self.failures.min(6));
        self.next = Instant::now() + pause.min(PAUSE_MAX);
        let (cause, told) = match failed {
            Ok(Err(JobError::Retry(reason) | JobError::Fail(reason) | JobError::Wait(reason))) => {
                (reason.log, reason.told)
            }
            Ok(Err(error)) => (error.to_string(), Told::INTERNAL),
            Ok(Ok(())) => return,
            Err(error) => (error.to_string(), Told::INTERNAL),
        };
        let cluster = &member.cluster;
        tracing::warn!(cluster = %cluster.name, cause, failures = self.failures, "the cluster's log does not get to the vault");
        context.metrics.log_failures.inc();
        self.bound_taken = bound_taken(context, member)
            .await
            .unwrap_or(self.bound_taken);
        if self.failures == FAILURES_MAX {
            tell(context, member, OfCluster::LogStalled(&told)).await;
        }
    }
}

/// How near the server is to giving up its log; none when it does not say.
async fn bound_taken(context: &ServiceContext, member: &Member) -> Option<f64> {
    let engine = context.engine_of(&member.cluster).ok()?;
    let home = home(context, &member.cluster, &member.instance.placement);
    let asked = engine.log_bound_taken(&home);
    let asked = tokio::time::timeout(ASK_WAIT, asked).await;
    asked.ok()?.ok()?
}

async fn tell(context: &ServiceContext, member: &Member, told: OfCluster<'_>) {
    let cluster = member.cluster.clone();
    let reason = match told {
        OfCluster::LogStalled(reason) => Some(reason.clone()),
        _ => None,
    };
    let written = context.catalog.write(move |tx| {
        let told = match &reason {
            Some(reason) => OfCluster::LogStalled(reason),
            None => OfCluster::LogResumed,
        };
        kinds::cluster(tx, &cluster, told)
    });
    if let Err(error) = written.await {
        tracing::warn!(cluster = %member.cluster.name, cause = %chain(&error), "the cluster's owner is not told");
    }
}
