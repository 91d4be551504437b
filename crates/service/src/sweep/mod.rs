//! Removes from the vaults what no record and no running job reaches, after a grace.
//!
//! Only volumes are looked at in which something ended that reached objects: its end marked them
//! (`catalog::dirty_volumes`). All are looked at when a process begins to sweep, and once a day, for what
//! came too late to be marked. A volume is swept only while no job uses it. Names are condemned first: a condemned name
//! counts as absent for every writer from then on, so a copy that wants the same bytes writes
//! them anew under another name, and deleting the old one hurts no one. Before anything is
//! condemned, and again before it is deleted, roots and pins are read in one transaction.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use catalog::{CatalogError, CatalogExt, dirty_volumes, events, jobs, keys, tombstones, verified};
use model::{
    Region, Timestamp, VolumeRef,
    limits::{EVENTS_KEPT, SWEEP_HEADERS_BYTES_MAX},
};
use vault::{Headers, Vault, VaultError};

use crate::{
    core::Core,
    fault::chain,
    nodes::membership,
    record_log::{checkpoint, owner::OwnerError},
};

/// Names handled by one transaction.
const BATCH: usize = 1_000;
/// How long finished jobs and deleted names are remembered.
const MEMORY: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Bounds of the pause between sweeps; within them it is a quarter of the grace.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// How often all volumes are looked at, marked or not.
const ALL_EVERY: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
mod checker;
mod clock;
#[cfg(test)]
mod tests;
mod volume;

use self::volume::Look;

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Owner(#[from] OwnerError),
}

/// Sweeps until the process is to end.
pub async fn run(core: Arc<Core>) {
    let pause = (core.settings.sweep_grace / 4).clamp(PAUSE_MIN, PAUSE_MAX);
    let mut sweeper = Sweeper::default();
    let mut clock = clock::Clock::default();
    loop {
        tokio::select! {
            () = core.stopped() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match membership::is_first(&core).await {
            Ok(true) => {}
            // Sweeping at once would be as safe, and list the vaults as often as there are nodes.
            Ok(false) => {
                sweeper.rest();
                continue;
            }
            Err(error) => {
                tracing::warn!(cause = %chain(&error), "the nodes could not be listed");
                continue;
            }
        }
        core.vaults.doubt_owners();
        for region in core.vaults.regions() {
            match sweeper.region(&core, &region).await {
                Ok(()) => {}
                Err(SweepError::Owner(error)) if error.is_certain() => {
                    tracing::error!(%region, cause = %chain(&error), "this server ends, so that it removes nothing of another catalog's");
                    core.begin_stop();
                    return;
                }
                Err(error) => {
                    tracing::warn!(%region, cause = %chain(&error), "the sweep of a region stopped");
                }
            }
        }
        let forgotten = match clock.is_believed(&core).await {
            Ok(true) => forget(&core).await,
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            tracing::warn!(cause = %chain(&error), "old rows were not removed");
        }
        core.kms.rotate_due().await;
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
    async fn region(&mut self, core: &Core, region: &Region) -> Result<(), SweepError> {
        // Nothing is condemned where another catalog may know what lives.
        let vault = core.vaults.owned(region).await?;
        let global = *region == core.settings.default_region;
        let now = core.now();
        let mirrored = checkpoint::when_due(&core.vaults.scribe, &vault, region, global, now).await;
        if let Err(error) = mirrored {
            tracing::warn!(%region, cause = %chain(&error), "the mirror of the records was not written anew");
        }
        let before = self.all_at.get(region);
        if before.is_some_and(|at| now.is_within(ALL_EVERY, *at)) {
            return self.marked(core, &vault, region).await;
        }
        for volume in vault::volumes(&vault).await? {
            self.look(core, &vault, region, &volume).await?;
        }
        self.all_at.insert(region.clone(), now);
        Ok(())
    }

    async fn marked(&self, core: &Core, vault: &Vault, region: &Region) -> Result<(), SweepError> {
        let mut last = None;
        loop {
            let (at, after) = (region.clone(), last.clone());
            let due = core
                .catalog
                .read(move |tx| dirty_volumes::due(tx, &at, after.as_ref(), BATCH))
                .await?;
            for volume in &due {
                self.look(core, vault, region, volume).await?;
            }
            match due.into_iter().next_back() {
                Some(volume) => last = Some(volume),
                None => return Ok(()),
            }
        }
    }

    async fn look(
        &self,
        core: &Core,
        vault: &Vault,
        region: &Region,
        volume: &VolumeRef,
    ) -> Result<(), SweepError> {
        let look = Look {
            core,
            vault,
            headers: &self.headers,
            region,
            volume,
        };
        // A header that cannot be read stops its own volume only.
        if let Err(error) = look.take().await {
            tracing::warn!(%region, %volume, cause = %chain(&error), "the sweep of a volume stopped");
            mark(core, region, volume).await?;
        }
        Ok(())
    }
}

/// Lets a volume be looked at again, also when it was not marked.
async fn mark(core: &Core, region: &Region, volume: &VolumeRef) -> Result<(), SweepError> {
    let (at, of, now) = (region.clone(), volume.clone(), core.now());
    core.catalog
        .write(move |tx| dirty_volumes::settle(tx, &at, &of, None, Some(now)))
        .await?;
    Ok(())
}

/// Drops rows whose time is over: finished jobs, events, deleted names, keys at their deletion date.
async fn forget(core: &Core) -> Result<(), CatalogError> {
    // A batch a transaction, so that others get between; as many as there are, since a busy
    // hour makes more rows than one batch has.
    while !core.is_stopping() {
        let gone = core
            .catalog
            .write(|tx| {
                let jobs = jobs::prune(tx, MEMORY, BATCH)?;
                let events = events::prune(tx, EVENTS_KEPT, BATCH)?;
                Ok::<_, CatalogError>(jobs.max(events))
            })
            .await?;
        if gone < BATCH as u64 {
            break;
        }
    }
    let regions = core.vaults.regions();
    core.catalog
        .write(move |tx| {
            verified::forget(tx, BATCH)?;
            for region in &regions {
                tombstones::forget(tx, region, MEMORY, BATCH)?;
            }
            let mut gone = BTreeMap::new();
            for stored in keys::due_for_deletion(tx, BATCH)? {
                let key = stored.value;
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
