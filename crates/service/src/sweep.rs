//! Removes from the vaults what no record and no running job reaches, after a grace.
//!
//! A volume is swept only while no job uses it. Names are condemned first: a condemned name
//! counts as absent for every writer from then on, so a copy that wants the same bytes writes
//! them anew under another name, and deleting the old one hurts no one. Before anything is
//! condemned, and again before it is deleted, roots and pins are read in one transaction.
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use catalog::{
    CatalogError, CatalogExt, Tx, condemned, events, jobs, keys, pins, snapshots, verified,
};
use model::{Hash, Region, VolumeRef, limits::EVENTS_KEPT};
use vault::{Vault, VaultError};

use crate::{
    core::Core,
    fault::chain,
    mirror::{checkpoint, owner::OwnerError},
    nodes,
};

/// Names handled by one transaction.
const BATCH: usize = 1_000;
/// How long finished jobs and deleted names are remembered.
const MEMORY: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Bounds of the pause between sweeps; within them it is a quarter of the grace.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod checker;

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
    loop {
        tokio::select! {
            () = core.stopped() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match nodes::is_first(&core).await {
            Ok(true) => {}
            // Sweeping at once would be as safe, and list the vaults as often as there are nodes.
            Ok(false) => continue,
            Err(error) => {
                tracing::warn!(cause = %chain(&error), "the nodes could not be listed");
                continue;
            }
        }
        core.doubt_owners();
        for region in core.vault_regions() {
            match region_once(&core, &region).await {
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
        if let Err(error) = forget(&core).await {
            tracing::warn!(cause = %chain(&error), "old rows were not removed");
        }
        crate::keys::rotate_due(&core).await;
    }
}

async fn region_once(core: &Core, region: &Region) -> Result<(), SweepError> {
    // Nothing is condemned where another catalog may know what lives.
    let vault = core.owned_vault(region).await?;
    let global = *region == core.settings.default_region;
    let mirrored = checkpoint::when_due(&core.scribe, &vault, region, global, core.now()).await;
    if let Err(error) = mirrored {
        tracing::warn!(%region, cause = %chain(&error), "the mirror of the records was not written anew");
    }
    for volume in vault::volumes(&vault).await? {
        // A header that cannot be read stops its own volume only.
        if let Err(error) = volume_once(core, &vault, region, &volume).await {
            tracing::warn!(%region, %volume, cause = %chain(&error), "the sweep of a volume stopped");
        }
    }
    Ok(())
}

/// What a volume's live records reach from, unless a job uses the volume.
fn quiet_roots(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
) -> Result<Option<BTreeSet<Hash>>, CatalogError> {
    if pins::of_volume(tx, region, volume)?.in_use {
        return Ok(None);
    }
    Ok(Some(
        snapshots::roots(tx, region, volume)?.into_iter().collect(),
    ))
}

async fn volume_once(
    core: &Core,
    vault: &Vault,
    region: &Region,
    volume: &VolumeRef,
) -> Result<(), SweepError> {
    let (at, of, prefix) = (region.clone(), volume.clone(), format!("volumes/{volume}/"));
    let seen = core
        .catalog
        .read(move |tx| {
            Ok::<_, CatalogError>((
                quiet_roots(tx, &at, &of)?,
                condemned::list(tx, &at, &prefix)?,
            ))
        })
        .await?;
    let (Some(roots), absent) = seen else {
        return Ok(());
    };
    let manifests: Vec<Hash> = roots.iter().copied().collect();
    let reached = vault::reach(vault, volume, &manifests, &absent).await?;
    let before = core.now().minus(core.settings.sweep_grace);
    let objects = vault::objects(vault, volume).await?;
    // What a record needs and no other name holds stays, although its name is condemned.
    let mut alone = reached.clone();
    for object in &objects {
        if !absent.contains(&object.path) {
            alone.remove(&object.hash);
        }
    }
    let unreached: Vec<String> = objects
        .into_iter()
        .filter(|object| {
            !reached.contains(&object.hash)
                && !absent.contains(&object.path)
                && object.modified < before
        })
        .map(|object| object.path)
        .collect();
    for batch in unreached.chunks(BATCH) {
        let (at, of, roots, batch) = (
            region.clone(),
            volume.clone(),
            roots.clone(),
            batch.to_vec(),
        );
        core.catalog
            .write(move |tx| {
                if quiet_roots(tx, &at, &of)?.as_ref() == Some(&roots) {
                    condemned::condemn(tx, &at, &batch)?;
                }
                Ok::<_, CatalogError>(())
            })
            .await?;
    }
    delete_condemned(core, vault, region, volume, &roots, &alone).await
}

/// Deletes what was condemned a grace ago, if the roots are still the ones that were looked at.
async fn delete_condemned(
    core: &Core,
    vault: &Vault,
    region: &Region,
    volume: &VolumeRef,
    roots: &BTreeSet<Hash>,
    alone: &HashSet<Hash>,
) -> Result<(), SweepError> {
    let (at, of, roots, grace) = (
        region.clone(),
        volume.clone(),
        roots.clone(),
        core.settings.sweep_grace,
    );
    let below = format!("volumes/{volume}/");
    let due = core
        .catalog
        .read(move |tx| {
            if quiet_roots(tx, &at, &of)?.as_ref() != Some(&roots) {
                return Ok(Vec::new());
            }
            condemned::older_than(tx, &at, &below, grace, BATCH)
        })
        .await?;
    let due: Vec<String> = due
        .into_iter()
        .filter(|path| !hash_of(path).is_some_and(|hash| alone.contains(&hash)))
        .collect();
    if due.is_empty() {
        return Ok(());
    }
    for path in &due {
        vault::delete(vault, path).await?;
    }
    tracing::info!(%region, %volume, objects = due.len(), "swept");
    let at = region.clone();
    core.catalog
        .write(move |tx| condemned::mark_deleted(tx, &at, &due))
        .await?;
    Ok(())
}

/// The hash in an object's path: `…/<hash>.<incarnation>`.
fn hash_of(path: &str) -> Option<Hash> {
    path.rsplit('/').next()?.split('.').next()?.parse().ok()
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
    let regions = core.vault_regions();
    core.catalog
        .write(move |tx| {
            verified::forget(tx, BATCH)?;
            for region in &regions {
                condemned::forget(tx, region, MEMORY, BATCH)?;
            }
            let mut gone = BTreeMap::new();
            for stored in keys::due_for_deletion(tx, BATCH)? {
                let key = stored.value;
                keys::delete(tx, &key.region, &key.account, &key.id)?;
                gone.insert(key.id.clone(), key.arn());
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
