//! Jobs of AWS Backup that were asked for: begun one after another, on whichever node leads, and
//! followed to their end.
//!
//! Plans make jobs, too (`plans`). A job's record is its queue: what stands at `Created` is tried again until it has begun, failed
//! or expired. It does not know who asks for them.
pub mod backup;
mod copy;
pub mod door;
pub mod drills;
pub mod plans;
pub mod record;
mod restore;
pub mod settings;
pub mod vaults;

pub use restore::restored;

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, backup_jobs as rows, backup_plans};
use model::{Arn, BackupJobKind, BackupJobState, Region, Timestamp};

use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
};

/// How often it looks when nobody wakes it: another node may have been asked.
const PERIOD: Duration = Duration::from_secs(3);
/// Jobs that are read at once.
const BATCH: usize = 200;

/// The task.
#[derive(Debug)]
pub(crate) struct BackupJobs;

#[async_trait]
impl Task for BackupJobs {
    const RUNS_ON: RunsOn = RunsOn::Leader;

    fn name(&self) -> String {
        "backup_jobs".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PERIOD
    }

    async fn woken(&self, context: &ServiceContext) {
        context.backup_jobs.notified().await;
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let mut first = Ok(());
        for region in context.vaults.regions() {
            if let Err(error) = plans::run(context, &region).await {
                first = first.and(Err(error));
            }
            for state in [BackupJobState::Created, BackupJobState::Running] {
                if let Err(error) = see_to(context, &region, state).await {
                    first = first.and(Err(error));
                }
            }
        }
        first?;
        let is_idle = is_idle(context).await?;
        Ok(if is_idle { Next::Changed } else { Next::Period })
    }
}

/// Whether no plan ever comes due, and no job is to be begun or ended.
async fn is_idle(context: &ServiceContext) -> Result<bool, CatalogError> {
    let regions = context.vaults.regions();
    let idle = context.catalog.read(move |tx| {
        for region in &regions {
            let is_planned = !backup_plans::due(tx, region, Timestamp(i64::MAX), 1)?.is_empty();
            let mut is_open =
                |state| rows::in_state(tx, region, state, None, 1).map(|jobs| !jobs.is_empty());
            if is_planned || is_open(BackupJobState::Created)? || is_open(BackupJobState::Running)?
            {
                return Ok(false);
            }
        }
        Ok::<_, CatalogError>(true)
    });
    idle.await
}

/// Begins each job of a region that waits for it, and ends those that are through; answers the first
/// error when all had their turn.
pub(crate) async fn see_to(
    context: &ServiceContext,
    region: &Region,
    state: BackupJobState,
) -> Result<(), TaskError> {
    let (mut after, mut first) = (None, Ok(()));
    // Clusters of which a backup waits or was begun: the others of it are not looked at, until their time is over.
    let mut busy: HashSet<Arn> = HashSet::new();
    let now = context.now();
    while !context.is_stopping() {
        let (here, from) = (region.clone(), after.clone());
        let batch = context
            .catalog
            .read(move |tx| rows::in_state(tx, &here, state, from.as_ref(), BATCH));
        let batch = batch.await?;
        let Some(last) = batch.last() else { break };
        after = Some((last.value.created_at, last.value.id.clone()));
        for stored in batch {
            let job = stored.value;
            let seen = match (job.kind, state) {
                (BackupJobKind::Backup, BackupJobState::Created) => {
                    if now < job.start_by && busy.contains(&job.resource) {
                        continue;
                    }
                    backup::begin(context, &job).await.map(|waits| {
                        if waits {
                            busy.insert(job.resource.clone());
                        }
                    })
                }
                (BackupJobKind::Copy, BackupJobState::Created) => copy::begin(context, &job).await,
                // Those of drills are followed by `drills`.
                (BackupJobKind::Restore, _) if job.is_drill() => Ok(()),
                (BackupJobKind::Restore, _) => restore::follow(context, &job).await,
                // Its snapshot's job ends it.
                _ => Ok(()),
            };
            if let Err(error) = seen {
                let told = format!("the job {} was not seen to", job.arn());
                first = first.and(Err(TaskError::doing(&told, &error)));
            }
        }
    }
    first
}
