//! Removes rows and automated snapshots whose time is over, once the clock is believed.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, events, jobs, keys, tombstones, verified};
use model::{JobKind, limits::EVENTS_KEPT};

use super::BATCH;
use crate::{
    background::{Next, RunsOn, Task, TaskError},
    backups::retention,
    context::ServiceContext,
    lived, pins, verify,
};

/// How long finished jobs and deleted names are remembered.
const MEMORY: Duration = Duration::from_secs(7 * 24 * 3_600);
/// So many verifications that were done are remembered for longer: their reports are evidence.
const VERIFICATIONS_KEPT: usize = 200;

/// The task.
#[derive(Debug)]
pub(crate) struct Prune;

#[async_trait]
impl Task for Prune {
    const RUNS_ON: RunsOn = RunsOn::Leader;
    const AT_START: bool = false;

    fn name(&self) -> String {
        "prune".to_owned()
    }

    fn period(&self, context: &ServiceContext) -> Duration {
        context.settings.upkeep_period()
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let failed = |error| TaskError::doing("old rows were not removed", &error);
        if lived::look(context).await.map_err(failed)?.is_believed {
            let forgotten = forget(context).await.map_err(failed);
            let expired = retention::expire(context).await;
            forgotten?;
            expired.map_err(|error| {
                TaskError::doing("expired automated snapshots were not deleted", &error)
            })?;
        }
        Ok(Next::Period)
    }
}

/// Drops rows whose time is over: finished jobs, events, deleted names, keys at their deletion date.
async fn forget(context: &ServiceContext) -> Result<(), CatalogError> {
    // A batch a transaction, so that others get between; as many as there are, since a busy
    // hour makes more rows than one batch has.
    while !context.is_stopping() {
        let gone = context
            .catalog
            .write(|tx| {
                let kept = (&JobKind::of(verify::JOB), VERIFICATIONS_KEPT);
                let jobs = jobs::prune(tx, MEMORY, kept, BATCH)?;
                let events = events::prune(tx, EVENTS_KEPT, BATCH)?;
                Ok::<_, CatalogError>(jobs.max(events))
            })
            .await?;
        if gone < BATCH as u64 {
            break;
        }
    }
    let regions = context.vaults.regions();
    context
        .catalog
        .write(move |tx| {
            verified::forget(tx, BATCH)?;
            for region in &regions {
                tombstones::forget(tx, region, MEMORY, BATCH)?;
            }
            let mut gone = BTreeMap::new();
            for stored in keys::due_for_deletion(tx, BATCH)? {
                let key = stored.value;
                // Its period may have begun before the vault was locked.
                if let Some(pin) = pins::of_key(tx, &key.arn())?.first() {
                    tracing::warn!(key = %key.arn(), "not deleted at the end of its waiting period: {}", pin.why);
                    continue;
                }
                keys::delete(tx, &key.region, &key.account, &key.id)?;
                keys::replica_gone(tx, &key)?;
                gone.insert(key.arn().to_string(), key.arn());
            }
            Ok(gone)
        })
        .await
        .map(|gone: BTreeMap<String, model::Arn>| {
            for arn in gone.values() {
                tracing::info!(key = %arn, "deleted at the end of its waiting period");
            }
        })
}
