//! Sweeps one volume: condemns what nothing reaches, and deletes what was condemned a grace ago.
//!
//! It does not know why the volume is looked at, nor when the next look is: its mark says so.
use std::collections::{BTreeSet, HashSet};

use catalog::{
    CatalogError, CatalogExt, Tx,
    dirty_volumes::{self, Mark},
    pins, snapshots, tombstones,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Hash, Region, Timestamp, VolumeRef};
use vault::{Condemned, Headers, Survey, Vault};

use super::{BATCH, SweepError};
use crate::context::ServiceContext;

/// Objects that are deleted at once.
const DELETES_AT_ONCE: usize = 8;

/// One look at a volume.
pub(super) struct Look<'a> {
    pub(super) context: &'a ServiceContext,
    pub(super) vault: &'a Vault,
    pub(super) headers: &'a Headers,
    pub(super) region: &'a Region,
    pub(super) volume: &'a VolumeRef,
}

/// What the catalog says of a volume at one moment.
struct Known {
    mark: Option<Mark>,
    /// None while a job uses the volume.
    roots: Option<BTreeSet<Hash>>,
    absent: Condemned,
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

impl Look<'_> {
    /// Looks at the volume, and notes when to look again.
    ///
    /// # Errors
    /// The catalog's, and the vault's: a header that cannot be read stops the volume's sweep.
    pub(super) async fn take(&self) -> Result<(), SweepError> {
        let (at, of, below) = (self.region.clone(), self.volume.clone(), self.below());
        let known = self
            .context
            .catalog
            .read(move |tx| {
                Ok::<_, CatalogError>(Known {
                    mark: dirty_volumes::get(tx, &at, &of)?,
                    roots: quiet_roots(tx, &at, &of)?,
                    absent: tombstones::list(tx, &at, &below)?,
                })
            })
            .await?;
        let mark = known.mark;
        let again_at = match known.roots {
            Some(roots) => {
                let again_at = self.sweep(&roots, &known.absent).await?;
                let logs_at = self.sweep_logs().await?;
                logs_at.map_or(again_at, |at| sooner(again_at, at))
            }
            None => Some(self.context.now()),
        };
        self.settle(mark, again_at).await
    }

    fn below(&self) -> String {
        format!("volumes/{}/", self.volume)
    }

    /// Notes when to look again. A mark stays for a grace: what ended may still write.
    async fn settle(
        &self,
        seen: Option<Mark>,
        again_at: Option<Timestamp>,
    ) -> Result<(), SweepError> {
        // A marked volume that is to be looked at now is due already.
        let due = again_at.is_some_and(|at| at <= self.context.now());
        if (seen.is_some() && due) || (seen.is_none() && again_at.is_none()) {
            return Ok(());
        }
        let (at, of, grace) = (
            self.region.clone(),
            self.volume.clone(),
            self.context.settings.sweep_grace,
        );
        self.context
            .catalog
            .write(move |tx| {
                let kept_until = seen.map(|mark| mark.marked_at.plus(grace));
                let kept_until = kept_until.filter(|until| tx.now() < *until);
                dirty_volumes::settle(tx, &at, &of, seen, again_at.or(kept_until))
            })
            .await?;
        Ok(())
    }

    /// Answers when something will be due here, if there is anything to wait for.
    async fn sweep(
        &self,
        roots: &BTreeSet<Hash>,
        absent: &Condemned,
    ) -> Result<Option<Timestamp>, SweepError> {
        let manifests: Vec<Hash> = roots.iter().copied().collect();
        let Survey { objects, reached } =
            vault::survey(self.vault, self.volume, &manifests, absent, self.headers).await?;
        let grace = self.context.settings.sweep_grace;
        let before = self.context.now().minus(grace);
        // What a record needs and no other name holds stays, although its name is condemned.
        let mut alone = reached.clone();
        for object in &objects {
            if !absent.contains(&object.path) {
                alone.remove(&object.hash);
            }
        }
        let (mut unreached, mut again_at) = (Vec::new(), None);
        for object in objects {
            if reached.contains(&object.hash) || absent.contains(&object.path) {
                continue;
            }
            if object.modified < before {
                unreached.push(object.path);
            } else {
                again_at = sooner(again_at, object.modified.plus(grace));
            }
        }
        for batch in unreached.chunks(BATCH) {
            if !self.condemn(roots, batch).await? {
                return Ok(Some(self.context.now()));
            }
        }
        let waiting_until = self.delete_condemned(roots, &alone).await?;
        Ok(waiting_until.map_or(again_at, |until| sooner(again_at, until)))
    }

    /// Condemns names if the roots are still the ones that were looked at; answers whether.
    async fn condemn(&self, roots: &BTreeSet<Hash>, batch: &[String]) -> Result<bool, SweepError> {
        let (at, of, roots, batch) = (
            self.region.clone(),
            self.volume.clone(),
            roots.clone(),
            batch.to_vec(),
        );
        let condemned = self
            .context
            .catalog
            .write(move |tx| {
                let same = quiet_roots(tx, &at, &of)?.as_ref() == Some(&roots);
                if same {
                    tombstones::condemn(tx, &at, &batch)?;
                }
                Ok::<_, CatalogError>(same)
            })
            .await?;
        Ok(condemned)
    }

    /// Deletes what was condemned a grace ago, if the roots are still the ones that were looked
    /// at; answers when the next condemned name is due.
    async fn delete_condemned(
        &self,
        roots: &BTreeSet<Hash>,
        alone: &HashSet<Hash>,
    ) -> Result<Option<Timestamp>, SweepError> {
        loop {
            let (at, of, below, roots) = (
                self.region.clone(),
                self.volume.clone(),
                self.below(),
                roots.clone(),
            );
            let (alone, grace) = (alone.clone(), self.context.settings.sweep_grace);
            let read = self.context.catalog.read(move |tx| {
                let now = tx.now();
                if quiet_roots(tx, &at, &of)?.as_ref() != Some(&roots) {
                    return Ok::<_, CatalogError>((Vec::new(), Some(now)));
                }
                let (mut due, mut next) = (Vec::new(), None);
                for (path, condemned_at) in tombstones::waiting(tx, &at, &below)? {
                    let due_at = condemned_at.plus(grace);
                    if hash_of(&path).is_some_and(|hash| alone.contains(&hash)) {
                        continue;
                    }
                    if due_at <= now && due.len() < BATCH {
                        due.push(path);
                    } else {
                        next = sooner(next, due_at);
                    }
                }
                Ok((due, next))
            });
            let (due, next) = read.await?;
            if due.is_empty() {
                return Ok(next);
            }
            self.delete(due).await?;
        }
    }

    async fn delete(&self, due: Vec<String>) -> Result<(), SweepError> {
        let vault = self.vault;
        stream::iter(due.clone())
            .map(|path| async move { vault::delete(vault, &path).await })
            .buffer_unordered(DELETES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        tracing::info!(region = %self.region, volume = %self.volume, objects = due.len(), "swept");
        let at = self.region.clone();
        self.context
            .catalog
            .write(move |tx| tombstones::mark_deleted(tx, &at, &due))
            .await?;
        Ok(())
    }
}

fn sooner(one: Option<Timestamp>, other: Timestamp) -> Option<Timestamp> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// The hash in an object's path: `…/<hash>.<incarnation>`.
fn hash_of(path: &str) -> Option<Hash> {
    path.rsplit('/').next()?.split('.').next()?.parse().ok()
}
