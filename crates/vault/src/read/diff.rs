//! What changed between two snapshots of one lineage, by their block lists alone: no pack is read.
//!
//! It does not know what a file is to its database.
use std::{collections::HashMap, sync::Arc};

use model::{Hash, VolumeRef};
use tokio::runtime::Handle;

use super::{job::Job, plan::stretches};
use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        body::{File, Layer, Segment},
        head::{BLOCK_BYTES, VolumeTag},
        manifest::Manifest,
        seal::DataKey,
    },
    index::block_map::{Layers, Slot},
    observer::Unobserved,
    store::{listing::VolumeListing, names::Condemned, vault::Vault},
};

/// One of the two snapshots.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The vault.
    pub vault: &'a Vault,
    /// The snapshot's volume.
    pub volume: &'a VolumeRef,
    /// The snapshot.
    pub manifest: Hash,
    /// Its data key; none in an unencrypted volume.
    pub data_key: Option<&'a DataKey>,
    /// Names that count as absent.
    pub condemned: &'a Condemned,
}

/// A file of either snapshot, and how many of its blocks are not as they were. A block has 8 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileDiff<'a> {
    /// Its path in the snapshot.
    pub path: &'a str,
    /// Blocks that it had.
    pub before: u64,
    /// Blocks that it has.
    pub after: u64,
    /// Blocks that both have, with other content.
    pub changed: u64,
}

/// Compares two snapshots and tells of every file of either, unchanged ones too. Answers the later one's
/// engine document; none, and nothing was told, when they are of two lineages: what their lists say cannot be
/// compared then. `stop` is asked between lists. Blocks: it belongs on a blocking thread of a tokio runtime.
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`] and the like of a manifest or a list;
/// [`VaultError::WrongKey`]; [`VaultError::Stopped`]; the store's.
pub fn diff(
    before: Side<'_>,
    after: Side<'_>,
    stop: &dyn Fn() -> bool,
    each: &mut dyn FnMut(FileDiff<'_>),
) -> Result<Option<String>, VaultError> {
    let (old, new) = (Opened::of(before)?, Opened::of(after)?);
    if old.manifest.body.id_key != new.manifest.body.id_key {
        return Ok(None);
    }
    let mut earlier: HashMap<&str, &File> = HashMap::new();
    for file in &old.manifest.body.files {
        earlier.insert(&file.path, file);
    }
    let files = &new.manifest.body.files;
    let changed = old.changed_blocks(&new, &earlier, stop)?;
    for (file, changed) in files.iter().zip(changed) {
        let was = earlier.remove(file.path.as_str());
        each(FileDiff {
            path: &file.path,
            before: was.map_or(0, blocks),
            after: blocks(file),
            changed,
        });
    }
    for file in earlier.into_values() {
        each(FileDiff {
            path: &file.path,
            before: blocks(file),
            after: 0,
            changed: 0,
        });
    }
    Ok(Some(new.manifest.body.engine_document.clone()))
}

fn blocks(file: &File) -> u64 {
    file.size.div_ceil(BLOCK_BYTES as u64)
}

/// A snapshot whose lists can be read.
struct Opened {
    manifest: Arc<Manifest>,
    layers: Layers<'static>,
}

impl Opened {
    fn of(side: Side<'_>) -> Result<Self, VaultError> {
        let handle = Handle::try_current().map_err(VaultError::NoRuntime)?;
        let kinds = [ObjectKind::List, ObjectKind::Manifest];
        let listing = VolumeListing::list(side.vault, side.volume, &kinds, side.condemned);
        let job = Job {
            vault: side.vault,
            volume: VolumeTag::of(side.volume),
            listing: Arc::new(handle.block_on(listing)?),
            handle,
            observer: &Unobserved,
        };
        let manifest = Arc::new(job.manifest(side.manifest, side.data_key)?);
        let layers = job.layers(&manifest);
        Ok(Self { manifest, layers })
    }

    /// For each file of the newer snapshot, how many of the blocks that it had are others now.
    fn changed_blocks(
        &self,
        new: &Self,
        earlier: &HashMap<&str, &File>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<u64>, VaultError> {
        let files = &new.manifest.body.files;
        let mut changed = vec![0; files.len()];
        let (mut old_slots, mut new_slots) = (Vec::new(), Vec::new());
        for stretch in stretches(&new.manifest) {
            if stop() {
                return Err(VaultError::Stopped);
            }
            let (file, number) = (&files[stretch.file as usize], stretch.number as usize);
            let Some(was) = earlier.get(file.path.as_str()) else {
                continue;
            };
            let Some(segment) = was.segments.get(number) else {
                continue;
            };
            if self.is_same(was, new, file, number) {
                continue;
            }
            self.layers
                .resolve(was.size, number, segment, &mut old_slots)?;
            let now = &file.segments[number];
            new.layers.resolve(file.size, number, now, &mut new_slots)?;
            for (old, slot) in old_slots.iter().zip(&new_slots) {
                let old = id_of(old, self.layers.id(segment.whole.list))?;
                let slot = id_of(slot, new.layers.id(now.whole.list))?;
                changed[stretch.file as usize] += u64::from(old != slot);
            }
        }
        Ok(changed)
    }

    /// Whether a segment lies in the same entries of the same lists, so that none of them must be read.
    fn is_same(&self, was: &File, new: &Self, file: &File, number: usize) -> bool {
        let same = |old: &Layer, now: &Layer| {
            self.layers.id(old.list) == new.layers.id(now.list)
                && (old.first, old.count) == (now.first, now.count)
        };
        let (old, now): (&Segment, &Segment) = (&was.segments[number], &file.segments[number]);
        let length = |file: &File| File::segment_blocks(file.size, number);
        length(was) == length(file)
            && same(&old.whole, &now.whole)
            && old.patches.len() == now.patches.len()
            && old
                .patches
                .iter()
                .zip(&now.patches)
                .all(|(a, b)| same(a, b))
    }
}

/// What a block holds: its id, or none of one that is all zero.
fn id_of(slot: &Slot, list: ObjectId) -> Result<Option<&[u8; 16]>, VaultError> {
    match slot {
        Slot::Unknown => Err(VaultError::damaged(
            list,
            "neither it nor a patch has an entry for a block",
        )),
        Slot::Zero => Ok(None),
        Slot::Stored { id, .. } => Ok(Some(id)),
    }
}
