//! What snapshots cost: the bytes that they reach, those that no other needs, and those that their deletion
//! frees.
//!
//! What is freed is whole objects, once the sweep has been there: a pack of which another snapshot needs
//! one block stays. Jobs that run are left out of account: what they hold goes when they end.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use catalog::{
    CatalogError, CatalogExt,
    snapshots::{self, Need},
    tombstones,
};
use model::{
    Account, Hash, Region, Snapshot, VolumeRef,
    limits::{WEIGHED_OBJECTS_MAX, WEIGHED_SNAPSHOTS_MAX},
};
use tokio::runtime::Handle;
use vault::{Usage, VaultError};

use crate::{
    context::ServiceContext,
    fault::{Code, Fault},
};

/// What one snapshot costs, in bytes of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weight {
    /// All that it reaches, whatever else reaches it.
    pub referenced: u64,
    /// What no other manifest of the vault reaches.
    pub unique: u64,
    /// What its deletion frees, when nothing else is deleted.
    pub freed: u64,
    /// Whether a cluster compares its next snapshot with it, so that its bytes stay until that is taken.
    pub is_base: bool,
}

/// What several snapshots cost together, in bytes of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetWeight {
    /// All that they reach, each object once.
    pub referenced: u64,
    /// What is freed when all of them are deleted.
    pub freed: u64,
}

/// What was asked for, in its order.
#[derive(Debug, Default)]
pub struct Weighed {
    /// None of a snapshot that has no bytes yet.
    pub snapshots: Vec<Option<Weight>>,
    /// Of each set.
    pub sets: Vec<SetWeight>,
}

/// What the catalog says of a volume at one moment.
struct Known {
    roots: Vec<Hash>,
    absent: HashSet<String>,
    needs: HashMap<Hash, Need>,
}

/// Weighs snapshots of one region, and sets of them by their places among them.
///
/// # Errors
/// `InvalidParameterCombination` for more than one request may weigh; `ServiceUnavailable` when
/// snapshots went meanwhile; the vault's.
pub async fn weigh(
    context: &Arc<ServiceContext>,
    caller: &Account,
    region: &Region,
    snapshots: Vec<Snapshot>,
    sets: Vec<Vec<usize>>,
) -> Result<Weighed, Fault> {
    if WEIGHED_SNAPSHOTS_MAX < snapshots.len() {
        return Err(too_many());
    }
    let (held, region) = (Arc::clone(context), region.clone());
    let work = move || {
        let work = Work {
            context: &held,
            region: &region,
            snapshots: &snapshots,
            sets: &sets,
        };
        Handle::current().block_on(work.weigh())
    };
    context.looks.run(caller, work).await
}

fn too_many() -> Fault {
    Fault::combination(format!(
        "These snapshots are too many to be weighed at once: more than {WEIGHED_SNAPSHOTS_MAX} of them, or \
         {WEIGHED_OBJECTS_MAX} objects that they reach. Name one cluster, or one snapshot."
    ))
}

struct Work<'a> {
    context: &'a ServiceContext,
    region: &'a Region,
    snapshots: &'a [Snapshot],
    sets: &'a [Vec<usize>],
}

impl Work<'_> {
    async fn weigh(&self) -> Result<Weighed, Fault> {
        let mut weighed = Weighed {
            snapshots: vec![None; self.snapshots.len()],
            sets: vec![SetWeight::default(); self.sets.len()],
        };
        let mut volumes: BTreeMap<&VolumeRef, HashSet<Hash>> = BTreeMap::new();
        for content in self.snapshots.iter().filter_map(|one| one.content.as_ref()) {
            let wanted = volumes.entry(&content.volume).or_default();
            wanted.insert(content.manifest);
        }
        for (volume, wanted) in volumes {
            let known = self.known(volume, &wanted).await?;
            let usage = self.usage(volume, &wanted, &known).await?;
            let scale = Scale {
                usage: &usage,
                needs: &known.needs,
            };
            let of_volume = |place: &usize| {
                let content = self.snapshots[*place].content.as_ref()?;
                (content.volume == *volume).then_some(content.manifest)
            };
            for place in 0..self.snapshots.len() {
                if let Some(manifest) = of_volume(&place) {
                    weighed.snapshots[place] = Some(scale.one(manifest));
                }
            }
            for (set, sum) in self.sets.iter().zip(&mut weighed.sets) {
                let more = scale.set(set.iter().filter_map(of_volume));
                sum.referenced += more.referenced;
                sum.freed += more.freed;
            }
        }
        Ok(weighed)
    }

    async fn known(&self, volume: &VolumeRef, wanted: &HashSet<Hash>) -> Result<Known, Fault> {
        let (region, volume, wanted) = (self.region.clone(), volume.clone(), wanted.clone());
        let known = self.context.catalog.read(move |tx| {
            let mut needs = HashMap::new();
            for &manifest in &wanted {
                let limit = WEIGHED_SNAPSHOTS_MAX + 1;
                let need = snapshots::need_of(tx, &region, &volume, manifest, limit)?;
                needs.insert(manifest, need);
            }
            Ok::<_, CatalogError>(Known {
                roots: snapshots::roots(tx, &region, &volume)?,
                absent: tombstones::list(tx, &region, &format!("volumes/{volume}/"))?,
                needs,
            })
        });
        Ok(known.await?)
    }

    async fn usage(
        &self,
        volume: &VolumeRef,
        wanted: &HashSet<Hash>,
        known: &Known,
    ) -> Result<Usage, Fault> {
        let context = self.context;
        let vault = context.vaults.get(self.region)?;
        let usage = vault::usage(
            &vault,
            volume,
            &known.roots,
            wanted,
            WEIGHED_OBJECTS_MAX,
            &known.absent,
            &context.headers,
        );
        let usage = usage.await.map_err(gone)?.ok_or_else(too_many)?;
        // One that was deleted since the caller's list was read has no root any more.
        match wanted.iter().all(|one| usage.reached.contains_key(one)) {
            true => Ok(usage),
            false => Err(changed()),
        }
    }
}

/// What was read a moment ago is deleted now and then.
pub(super) fn gone(error: VaultError) -> Fault {
    match error {
        VaultError::Missing { .. } => {
            tracing::warn!(cause = %error, "what a snapshot reaches was not there");
            changed()
        }
        other => other.into(),
    }
}

fn changed() -> Fault {
    Fault::new(
        Code::ServiceUnavailable,
        "Snapshots were deleted while they were looked at. Try again.",
    )
}

/// A volume that was counted.
struct Scale<'a> {
    usage: &'a Usage,
    needs: &'a HashMap<Hash, Need>,
}

impl Scale<'_> {
    fn bytes(&self, object: u32) -> u64 {
        self.usage.objects[object as usize].0
    }

    /// How many manifests need an object.
    fn users(&self, object: u32) -> u32 {
        self.usage.objects[object as usize].1
    }

    fn one(&self, manifest: Hash) -> Weight {
        let reached = &self.usage.reached[&manifest];
        let alone = reached.iter().filter(|object| self.users(**object) == 1);
        let unique = alone.map(|object| self.bytes(*object)).sum();
        let need = self.needs[&manifest];
        let ends = need.snapshots == 1 && !need.is_base;
        Weight {
            referenced: reached.iter().map(|object| self.bytes(*object)).sum(),
            unique,
            freed: if ends { unique } else { 0 },
            is_base: need.is_base,
        }
    }

    /// `manifests` has one for each snapshot of the set.
    fn set(&self, manifests: impl Iterator<Item = Hash>) -> SetWeight {
        let mut members: HashMap<Hash, u64> = HashMap::new();
        for manifest in manifests {
            *members.entry(manifest).or_default() += 1;
        }
        // How many of the manifests that end need an object.
        let mut seen: HashMap<u32, u32> = HashMap::new();
        for (manifest, count) in &members {
            let need = self.needs[manifest];
            let ends = need.snapshots <= *count && !need.is_base;
            for object in &self.usage.reached[manifest] {
                *seen.entry(*object).or_default() += u32::from(ends);
            }
        }
        let freed = seen
            .iter()
            .filter(|(object, ending)| **ending == self.users(**object));
        SetWeight {
            freed: freed.map(|(object, _)| self.bytes(*object)).sum(),
            referenced: seen.keys().map(|object| self.bytes(*object)).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> Hash {
        Hash([byte; 32])
    }

    /// Objects of 1, 2, 4 and 8 bytes: the first snapshot has 1 2 4, the second 2 4, the third 4 8.
    fn usage() -> Usage {
        Usage {
            objects: vec![(1, 1), (2, 2), (4, 3), (8, 1)],
            reached: HashMap::from([
                (hash(1), vec![0, 1, 2]),
                (hash(2), vec![1, 2]),
                (hash(3), vec![2, 3]),
            ]),
        }
    }

    #[test]
    fn what_is_freed_is_what_nobody_else_needs() {
        let usage = usage();
        let need = |snapshots, is_base| Need { snapshots, is_base };
        let needs = HashMap::from([
            (hash(1), need(1, false)),
            (hash(2), need(2, false)),
            (hash(3), need(1, true)),
        ]);
        let scale = Scale {
            usage: &usage,
            needs: &needs,
        };
        let weights = [1, 2, 3].map(|one| scale.one(hash(one)));
        assert_eq!(weights.map(|one| one.referenced), [7, 6, 12]);
        assert_eq!(weights.map(|one| one.unique), [1, 0, 8]);
        assert_eq!(weights.map(|one| one.freed), [1, 0, 0], "a base stays");
        let set = |of: &[u8]| scale.set(of.iter().map(|one| hash(*one)));
        // The second has a copy, which keeps what it shares with the first.
        let (of_one, of_both) = (set(&[1, 2]), set(&[1, 2, 2]));
        assert_eq!((of_one.freed, of_one.referenced), (1, 7));
        assert_eq!((of_both.freed, of_both.referenced), (3, 7));
        assert_eq!(set(&[1, 2, 2, 3]).freed, 3);
        assert_eq!(set(&[]), SetWeight::default());
    }
}
