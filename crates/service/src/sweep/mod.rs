//! Removes from the vaults what no record and no running job reaches, after a grace.
//!
//! Only volumes are looked at in which something ended that reached objects: its end marked them
//! (`catalog::dirty_volumes`). All are looked at when a process begins to sweep, and once a day, for what
//! came too late to be marked. A volume is swept only while no job uses it. Names are condemned first: a condemned name
//! counts as absent for every writer from then on, so a copy that wants the same bytes writes
//! them anew under another name, and deleting the old one hurts no one. Before anything is
//! condemned, and again before it is deleted, roots and pins are read in one transaction.
use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, dirty_volumes};
use model::{Region, Timestamp, VolumeRef, limits::SWEEP_HEADERS_BYTES_MAX};
use vault::{Headers, Vault, VaultError};

use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
    fault::chain,
};

/// Names handled by one transaction.
const BATCH: usize = 1_000;

/// How often all volumes are looked at, marked or not.
const ALL_EVERY: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
pub(crate) mod checker;
pub(crate) mod checkpoints;
#[cfg(test)]
mod drill_runs;
pub(crate) mod key_rotation;
pub(crate) mod logs;
#[cfg(test)]
pub(crate) mod month;
pub(crate) mod ownership;
#[cfg(test)]
mod plan_runs;
pub(crate) mod prune;
pub(crate) mod recovery_points;
pub(crate) mod retention;
#[cfg(test)]
mod tests;
mod volume;

use self::{ownership::confirmed, volume::Look};

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// The task.
#[derive(Debug, Default)]
pub(crate) struct GarbageCollection(Sweeper);

#[async_trait]
impl Task for GarbageCollection {
    // Sweeping at each node would be as safe, and list the vaults as often as there are nodes.
    const RUNS_ON: RunsOn = RunsOn::Leader;
    const AT_START: bool = false;

    fn name(&self) -> String {
        "garbage_collection".to_owned()
    }

    fn period(&self, context: &ServiceContext) -> Duration {
        context.settings.upkeep_period()
    }

    fn stand_by(&mut self) {
        self.0.rest();
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let mut failed = None;
        for region in context.vaults.regions() {
            // Nothing is condemned where another catalog may know what lives.
            let swept = match confirmed(context, &region).await {
                Ok(vault) => {
                    let swept = self.0.region(context, &vault, &region).await;
                    swept.map_err(|error| TaskError::doing("the sweep of a region stopped", &error))
                }
                Err(error @ TaskError::Fatal(_)) => return Err(error),
                Err(error) => Err(error),
            };
            if let Err(error) = swept {
                tracing::warn!(%region, cause = %error, "the sweep of a region stopped");
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(Next::Period), Err)
    }
}

/// What a process remembers of its sweeps; another one does without.
#[derive(Debug)]
struct Sweeper {
    headers: Headers,
    /// When all volumes of a region were looked at.
    all_at: HashMap<Region, Timestamp>,
}

impl Default for Sweeper {
    fn default() -> Self {
        Self {
            headers: Headers::remembering(SWEEP_HEADERS_BYTES_MAX),
            all_at: HashMap::new(),
        }
    }
}

impl Sweeper {
    /// Another process sweeps: what it leaves undone is not known here.
    fn rest(&mut self) {
        self.all_at.clear();
    }

    /// Looks at a region's marked volumes; at all of them when that was not done for long.
    async fn region(
        &mut self,
        context: &ServiceContext,
        vault: &Vault,
        region: &Region,
    ) -> Result<(), SweepError> {
        let now = context.now();
        let before = self.all_at.get(region);
        if before.is_some_and(|at| now.is_within(ALL_EVERY, *at)) {
            return self.marked(context, vault, region).await;
        }
        for volume in vault::volumes(vault).await? {
            self.look(context, vault, region, &volume).await?;
        }
        self.all_at.insert(region.clone(), now);
        Ok(())
    }

    async fn marked(
        &self,
        context: &ServiceContext,
        vault: &Vault,
        region: &Region,
    ) -> Result<(), SweepError> {
        let mut last = None;
        loop {
            let (at, after) = (region.clone(), last.clone());
            let due = context
                .catalog
                .read(move |tx| dirty_volumes::due(tx, &at, after.as_ref(), BATCH))
                .await?;
            for volume in &due {
                self.look(context, vault, region, volume).await?;
            }
            match due.into_iter().next_back() {
                Some(volume) => last = Some(volume),
                None => return Ok(()),
            }
        }
    }

    async fn look(
        &self,
        context: &ServiceContext,
        vault: &Vault,
        region: &Region,
        volume: &VolumeRef,
    ) -> Result<(), SweepError> {
        let look = Look {
            context,
            vault,
            headers: &self.headers,
            region,
            volume,
        };
        // A header that cannot be read stops its own volume only.
        if let Err(error) = look.take().await {
            tracing::warn!(%region, %volume, cause = %chain(&error), "the sweep of a volume stopped");
            mark(context, region, volume).await?;
        }
        Ok(())
    }
}

/// Lets a volume be looked at again, also when it was not marked.
async fn mark(
    context: &ServiceContext,
    region: &Region,
    volume: &VolumeRef,
) -> Result<(), SweepError> {
    let (at, of, now) = (region.clone(), volume.clone(), context.now());
    context
        .catalog
        .write(move |tx| dirty_volumes::settle(tx, &at, &of, None, Some(now)))
        .await?;
    Ok(())
}
