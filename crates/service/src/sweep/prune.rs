//! Removes rows and automated snapshots whose time is over, once the clock is believed.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, Tx, events, jobs, keys, tombstones, verified};
use model::{JobKind, Key, limits::EVENTS_KEPT};
use prometheus_client::metrics::gauge::Gauge;

use super::BATCH;
use crate::{
    background::{Next, RunsOn, Task, TaskError},
    backups::retention,
    context::ServiceContext,
    lived, pins, verify,
};

/// Keys that wait for their deletion and are looked at.
const PENDING_MAX: usize = 50;
/// How long finished jobs and deleted names are remembered.
const MEMORY: Duration = Duration::from_secs(7 * 24 * 3_600);
/// So many verifications that were done are remembered for longer: their reports are evidence.
const VERIFICATIONS_KEPT: usize = 200;

/// The task.
#[derive(Debug, Default)]
pub(crate) struct Prune {
    /// What it counts here: another node tells it once this one no longer leads.
    needed: Option<Gauge>,
}

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

    fn stand_by(&mut self) {
        if let Some(needed) = &self.needed {
            needed.set(0);
        }
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let failed = |error| TaskError::doing("the keys that are needed were not counted", &error);
        let pruned = prune(context).await;
        self.needed = Some(context.metrics.keys_pending_needed.clone());
        let counted = count_needed(context).await.map_err(failed);
        pruned?;
        counted?;
        Ok(Next::Period)
    }
}

/// Removes what is over, each kind whatever became of the others.
async fn prune(context: &Arc<ServiceContext>) -> Result<(), TaskError> {
    let failed = |error| TaskError::doing("old rows were not removed", &error);
    if !lived::look(context).await.map_err(failed)?.is_believed {
        return Ok(());
    }
    let forgotten = forget(context).await.map_err(failed);
    let expired = retention::expire(context).await;
    forgotten?;
    expired
        .map_err(|error| TaskError::doing("expired automated snapshots were not deleted", &error))
}

/// Counts keys that wait for their deletion and are needed.
async fn count_needed(context: &ServiceContext) -> Result<(), CatalogError> {
    let pending = |tx: &mut dyn Tx| keys::pending_deletion(tx, PENDING_MAX);
    let mut needed = 0;
    // A transaction each: a region's documents may be many.
    for key in context.catalog.read(pending).await? {
        let is_needed = context.catalog.read(move |tx| keys::is_needed(tx, &key));
        needed += i64::from(is_needed.await?);
    }
    context.metrics.keys_pending_needed.set(needed);
    Ok(())
}

/// Drops what is over: finished jobs, events, deleted names, keys at their deletion date.
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
    let tidied = context.catalog.write(move |tx| {
        verified::forget(tx, BATCH)?;
        for region in &regions {
            tombstones::forget(tx, region, MEMORY, BATCH)?;
        }
        Ok::<_, CatalogError>(())
    });
    tidied.await?;
    delete_keys(context).await
}

/// Deletes keys at their deletion date. Those that kept recovery points need stay, and hold up no
/// others, however many there are.
pub(super) async fn delete_keys(context: &ServiceContext) -> Result<(), CatalogError> {
    let mut after: Option<Key> = None;
    while !context.is_stopping() {
        let from = after.clone();
        let (gone, last) = context
            .catalog
            .write(move |tx| {
                let due = keys::due_for_deletion(tx, from.as_ref(), BATCH)?;
                let last = due.last().map(|stored| stored.value.clone());
                let mut gone = BTreeSet::new();
                for key in due.into_iter().map(|stored| stored.value) {
                    // Its period may have begun before the vault was locked.
                    if let Some(pin) = pins::of_key(tx, &key.arn())? {
                        tracing::warn!(key = %key.arn(), "not deleted at the end of its waiting period: {}", pin.why);
                        continue;
                    }
                    keys::delete(tx, &key.region, &key.account, &key.id)?;
                    keys::replica_gone(tx, &key)?;
                    gone.insert(key.arn().to_string());
                }
                Ok::<_, CatalogError>((gone, last))
            })
            .await?;
        for key in gone {
            tracing::info!(key, "deleted at the end of its waiting period");
        }
        after = last;
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_no_longer_leads_counts_no_keys() {
        let gauge: Gauge = Gauge::default();
        let mut task = Prune::default();
        task.stand_by();
        gauge.set(3);
        task.needed = Some(gauge.clone());
        task.stand_by();
        assert_eq!(gauge.get(), 0);
    }
}
