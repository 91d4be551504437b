//! Brings the automated backups of clusters to another region: the snapshots that their logs lead on from, and the
//! logs.
//!
//! It does not know how either is kept.
//!
//! Invariant: what is there is found by listing, and what is brought keeps its name. So a pass that was cut off, the
//! next one on another node, or two at once do no harm.
mod log;
mod record;
mod snapshots;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogExt, instances::Member};
use futures_util::{StreamExt, stream};
use model::{Region, ResourceId, Told, restore_testing::is_tested};
use tokio::time::Instant;

use self::log::Start;
use crate::{
    background::{Next, Task, TaskError},
    clusters::here,
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::chain,
    jobs::JobError,
    logs::{keeper::has_log, upkeep::tidy_brought},
};

const PERIOD: Duration = Duration::from_secs(5);
/// Clusters that are seen to at once.
const AT_ONCE: usize = 4;
/// How often what no moment needs is removed over there.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// How often a record tells how far it is, while nothing is brought.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long a cluster rests after failures in a row, at most.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// After so many failures in a row the cluster's owner is told.
const FAILURES_MAX: u32 = 4;

/// The task: each node sees to the clusters whose writers it has.
#[derive(Default)]
pub(crate) struct BackupReplication {
    /// Whether what is no longer asked for was looked for.
    has_looked: bool,
    clusters: HashMap<ResourceId, Way>,
}

/// How one cluster's backups get there.
struct Way {
    failures: u32,
    next: Instant,
    tidied_at: Instant,
    told_at: Instant,
    /// What had been written of its log here when all was there.
    brought: Option<u64>,
    /// The snapshots over there from which the log leads on to its end.
    leads: Vec<Start>,
    /// Whether its record does not tell yet how far what was brought last reaches.
    untold: bool,
}

/// What a pass did.
struct Passed {
    /// What had been written here when it began.
    written: Option<u64>,
    leads: Vec<Start>,
    /// Whether anything was brought: what it reaches to is known in the next pass.
    grown: bool,
    tidied: bool,
    told: bool,
}

#[async_trait]
impl Task for BackupReplication {
    fn name(&self) -> String {
        "backup_replication".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PERIOD
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        if !self.has_looked {
            record::end_unwanted(context).await.map_err(|error| {
                TaskError::doing("replications that ended were not noted", &error)
            })?;
            self.has_looked = true;
        }
        let pairs = &context.settings.replicate_backups;
        if pairs.is_empty() {
            return Ok(Next::Changed);
        }
        let mut members = here::members(context).await?;
        members.retain(|one| is_replicated(one) && pairs.contains_key(&one.cluster.region));
        self.clusters.retain(|id, _| {
            let stays = members.iter().any(|one| one.cluster.resource_id == *id);
            if !stays {
                context.brought_windows.forget(id);
            }
            stays
        });
        if members.is_empty() {
            return Ok(Next::Changed);
        }
        let now = Instant::now();
        let mut due = Vec::new();
        for member in members {
            let way = self.clusters.entry(member.cluster.resource_id.clone());
            let way = way.or_insert_with(|| Way::new(now));
            if way.next <= now {
                let asked = Asked {
                    leads: way.leads.clone(),
                    tidy: way.tidied_at + TIDY_EVERY <= now,
                    tell: way.untold || way.told_at + TELL_EVERY <= now,
                    brought: way.brought,
                };
                due.push((member, asked));
            }
        }
        let mut passes = stream::iter(due)
            .map(|(member, asked)| async move {
                let to = &context.settings.replicate_backups[&member.cluster.region];
                let passed = replicate(context, &member, to, asked).await;
                (member, passed)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((member, passed)) = passes.next().await {
            if let Some(way) = self.clusters.get_mut(&member.cluster.resource_id) {
                way.note(context, &member, passed).await;
            }
        }
        Ok(Next::Period)
    }

    async fn end(self: Box<Self>) {}
}

/// Whether a server's cluster has automated backups that are worth it. What is restored for a test is thrown away.
fn is_replicated(member: &Member) -> bool {
    has_log(member) && !is_tested(member.cluster.name.as_str(), &member.cluster.tags)
}

/// What is asked of a pass.
struct Asked {
    leads: Vec<Start>,
    tidy: bool,
    tell: bool,
    brought: Option<u64>,
}

async fn replicate(
    context: &Arc<ServiceContext>,
    member: &Member,
    region: &Region,
    asked: Asked,
) -> Result<Passed, JobError> {
    let cluster = &member.cluster;
    // Before the listing: all that was acknowledged until then is in what is listed.
    let until = context.log_windows.of(cluster).map(|window| window.latest);
    let written = context.log_windows.mark(&cluster.resource_id);
    let from = context.vaults.get(&cluster.region)?;
    let owned = context.vaults.owned(region).await;
    let to = owned.map_err(|error| JobError::retry(chain(&error)))?;
    let far = record::kept(context, member, region).await?;
    let bases = snapshots::bring(context, cluster, &far.cluster).await?;
    let is_all_there = written.is_some() && written == asked.brought && !bases.are_new;
    let (grown, leads) = match is_all_there {
        true => (0, asked.leads),
        false => log::bring(context, (&from, &to), &far.cluster, &bases.starts).await?,
    };
    let is_untold = far
        .cluster
        .logs
        .last()
        .is_some_and(|one| one.latest.is_none());
    let tell = asked.tell || is_untold || 0 < grown;
    record::reach(context, &far.cluster, &leads, until, tell).await?;
    if asked.tidy {
        tidy_brought(context, &to, &far.cluster).await?;
    }
    Ok(Passed {
        written,
        leads,
        grown: 0 < grown,
        tidied: asked.tidy,
        told: tell,
    })
}

impl Way {
    fn new(now: Instant) -> Self {
        Self {
            failures: 0,
            next: now,
            tidied_at: now,
            told_at: now,
            brought: None,
            leads: Vec::new(),
            untold: false,
        }
    }

    async fn note(
        &mut self,
        context: &ServiceContext,
        member: &Member,
        passed: Result<Passed, JobError>,
    ) {
        let now = Instant::now();
        let error = match passed {
            Ok(passed) => {
                if FAILURES_MAX <= self.failures {
                    tell(context, member, None).await;
                }
                (self.failures, self.next, self.brought) = (0, now, passed.written);
                (self.untold, self.leads) = (passed.grown, passed.leads);
                if passed.tidied {
                    self.tidied_at = now;
                }
                if passed.told {
                    self.told_at = now;
                }
                return;
            }
            // The cluster is being deleted.
            Err(JobError::Gone) => return,
            Err(error) => error,
        };
        self.failures += 1;
        self.brought = None;
        let pause = Duration::from_secs(1) * (1 << self.failures.min(6));
        self.next = now + pause.min(PAUSE_MAX);
        let (cause, told) = match error {
            JobError::Retry(reason) | JobError::Fail(reason) | JobError::Wait(reason) => {
                (reason.log, reason.told)
            }
            error => (error.to_string(), Told::INTERNAL),
        };
        let cluster = &member.cluster;
        tracing::warn!(cluster = %cluster.name, cause, failures = self.failures, "the cluster's backups do not get to the other region");
        context.metrics.replication_failures.inc();
        if self.failures == FAILURES_MAX {
            tell(context, member, Some(told)).await;
        }
    }
}

/// Tells a cluster's owner that its backups do not get there, or that they do again.
async fn tell(context: &ServiceContext, member: &Member, reason: Option<Told>) {
    let cluster = member.cluster.clone();
    let written = context.catalog.write(move |tx| {
        let told = match &reason {
            Some(reason) => OfCluster::ReplicationStalled(reason),
            None => OfCluster::ReplicationResumed,
        };
        kinds::cluster(tx, &cluster, told)
    });
    if let Err(error) = written.await {
        tracing::warn!(cluster = %member.cluster.name, cause = %chain(&error), "the cluster's owner is not told");
    }
}
