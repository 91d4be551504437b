//! The base of a snapshot being written: which blocks were where, and which may be referred to.
//!
//! It does not know what the new snapshot's blocks are.
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use model::{Hash, VolumeRef};
use tokio::runtime::Handle;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        block::IdKey,
        body::{File, Layer, PackUse, Segment},
        head::{BLOCK_BYTES, SEGMENT_BLOCKS, VolumeTag},
        manifest::Manifest,
        part::Unpacker,
        seal::DataKey,
    },
    index::block_map::{Layers, Slot},
    store::{listing::VolumeListing, object_source::Objects, vault::Vault},
    write::manifest_tables::ManifestTables,
};

const UNUSED: u32 = u32::MAX;
/// A pack is sparse when fewer of its blocks than this share are live, percent; measured for
/// docs/decisions/0007-patches-evidence-sparse-packs.md.
pub(crate) const SPARSE_PERCENT: u64 = 50;
/// Live blocks of sparse packs that one snapshot writes anew, as a share of all live blocks, so
/// that packs of one age do not fall due at once.
const RENEWED_SHARE: u64 = 32;
/// Live blocks of sparse packs that a snapshot may write anew in any case: 8 MiB.
const RENEWED_MIN: u64 = 1024;

/// The snapshot that a new one refers to where nothing changed.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its manifest.
    pub manifest: Hash,
    /// Its data key; none in an unencrypted volume.
    pub data_key: Option<DataKey>,
}

/// Shared by the threads that write one snapshot. Its methods block.
pub(crate) struct BaseSnapshot {
    layers: Layers<'static>,
    files: HashMap<String, usize>,
    /// For each of its packs, whether a block may be left where it is.
    usable: Vec<bool>,
    /// For each of its packs, the number in the new manifest once something there refers to it.
    pack_numbers: Vec<AtomicU32>,
    list_numbers: Vec<AtomicU32>,
}

/// Blocks of files; each one's last may be short.
pub(crate) fn blocks_of(files: &[File]) -> u64 {
    files
        .iter()
        .map(|file| file.size.div_ceil(BLOCK_BYTES as u64))
        .sum()
}

impl BaseSnapshot {
    pub(crate) fn open(
        vault: &Vault,
        volume: &VolumeRef,
        listing: VolumeListing,
        handle: Handle,
        base: &Base,
        sparse_percent: u64,
    ) -> Result<Self, VaultError> {
        let Base { manifest, data_key } = base;
        let (manifest, data_key) = (*manifest, data_key.as_ref());
        let object = ObjectId {
            kind: ObjectKind::Manifest,
            hash: manifest,
        };
        let tag = VolumeTag::of(volume);
        let mut bytes = handle.block_on(vault.read_whole(object, &listing, Vec::new()))?;
        let mut unpacker = Unpacker::new();
        let manifest = Manifest::read(manifest, &mut bytes, tag, data_key, &mut unpacker)?;
        let manifest = Arc::new(manifest);
        let unused = |count: usize| (0..count).map(|_| AtomicU32::new(UNUSED)).collect();
        let files = manifest.body.files.iter().enumerate();
        Ok(Self {
            files: files.map(|(i, file)| (file.path.clone(), i)).collect(),
            usable: usable_packs(&manifest, &listing, sparse_percent),
            pack_numbers: unused(manifest.tables.packs.len()),
            list_numbers: unused(manifest.tables.lists.len()),
            layers: Layers::new(
                Objects::Here(vault.clone(), Arc::new(listing)),
                tag,
                handle,
                manifest,
            ),
        })
    }

    pub(crate) fn id_key(&self) -> &IdKey {
        &self.layers.manifest.body.id_key
    }

    /// What the engine said of itself in the base.
    pub(crate) fn document(&self) -> &str {
        &self.layers.manifest.body.engine_document
    }

    /// Blocks of its files.
    pub(crate) fn blocks(&self) -> u64 {
        blocks_of(&self.layers.manifest.body.files)
    }

    /// The base's file of this path, and its number.
    pub(crate) fn file(&self, path: &str) -> Option<(usize, &File)> {
        let number = *self.files.get(path)?;
        Some((number, &self.layers.manifest.body.files[number]))
    }

    /// The blocks of a file's segment; torn ones are unknown, so that they are checked
    /// again. None when the base's file was shorter, or when a list of the segment is gone: its
    /// blocks are then written anew.
    pub(crate) fn segment<'a>(
        &self,
        (file_number, file): (usize, &'a File),
        number: usize,
        slots: &mut Vec<Slot>,
    ) -> Result<Option<&'a Segment>, VaultError> {
        slots.clear();
        let Some(segment) = file.segments.get(number) else {
            return Ok(None);
        };
        let mut layers = std::iter::once(&segment.whole).chain(&segment.patches);
        if !layers.all(|layer| self.layers.holds(layer.list)) {
            return Ok(None);
        }
        self.layers.resolve(file.size, number, segment, slots)?;
        for (file, block) in &self.layers.manifest.body.torn {
            let at = (*block as usize).checked_sub(number * SEGMENT_BLOCKS);
            if *file as usize == file_number
                && let Some(slot) = at.and_then(|at| slots.get_mut(at))
            {
                *slot = Slot::Unknown;
            }
        }
        Ok(Some(segment))
    }

    /// The positions of a patch.
    pub(crate) fn positions(&self, patch: &Layer) -> Result<Vec<usize>, VaultError> {
        let list = self.layers.layer(patch, true)?;
        let first = patch.first as usize;
        Ok((first..first + usize::from(patch.count))
            .map(|entry| list.list.position(entry))
            .collect())
    }

    /// Whether a block may be left in a pack.
    pub(crate) fn is_usable(&self, pack: u32) -> bool {
        self.usable[pack as usize]
    }

    /// The number that a base pack has in the new manifest; the tables gives it one at first.
    pub(crate) fn adopt_pack(&self, pack: u32, tables: &ManifestTables) -> u32 {
        let at = pack as usize;
        let manifest = &self.layers.manifest;
        adopt(&self.pack_numbers[at], || {
            let blocks = manifest.body.pack_uses[at].blocks;
            tables.adopt_pack(manifest.tables.packs[at], manifest.pack_key(at), blocks)
        })
    }

    /// A layer as the new manifest has it.
    pub(crate) fn adopt_layer(&self, layer: &Layer, tables: &ManifestTables) -> Layer {
        let at = layer.list as usize;
        let manifest = &self.layers.manifest;
        let list = adopt(&self.list_numbers[at], || {
            tables.adopt_list(manifest.tables.lists[at], manifest.list_key(at))
        });
        Layer { list, ..*layer }
    }
}

/// Gives a number once. Two threads may both ask the tables, which then gives them the same one.
fn adopt(number: &AtomicU32, give: impl FnOnce() -> u32) -> u32 {
    let known = number.load(Ordering::Acquire);
    if known != UNUSED {
        return known;
    }
    let given = give();
    number.store(given, Ordering::Release);
    given
}

/// Packs that are there and not sparse. A block in any other is written anew.
fn usable_packs(manifest: &Manifest, listing: &VolumeListing, sparse_percent: u64) -> Vec<bool> {
    let packs = manifest.tables.packs.iter();
    let mut usable: Vec<bool> = packs
        .map(|pack| {
            let object = ObjectId {
                kind: ObjectKind::Pack,
                hash: pack.hash,
            };
            listing.holds(object, pack.size)
        })
        .collect();
    let uses = &manifest.body.pack_uses;
    let all: u64 = uses.iter().map(|pack| u64::from(pack.live)).sum();
    let most = (all / RENEWED_SHARE).max(RENEWED_MIN);
    for at in sparse(uses, sparse_percent, most) {
        usable[at] = false;
    }
    usable
}

/// The sparsest packs, as long as their live blocks together are no more than `most`.
fn sparse(uses: &[PackUse], percent: u64, mut most: u64) -> Vec<usize> {
    let is_sparse = |pack: &PackUse| u64::from(pack.live) * 100 < u64::from(pack.blocks) * percent;
    let mut found: Vec<usize> = (0..uses.len()).filter(|at| is_sparse(&uses[*at])).collect();
    found.sort_by_key(|at| u64::from(uses[*at].live) * (1 << 20) / u64::from(uses[*at].blocks));
    found
        .into_iter()
        .take_while(|at| {
            let live = u64::from(uses[*at].live);
            let fits = live <= most;
            most = most.saturating_sub(live);
            fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sparsest_packs_are_left_first_and_not_all_at_once() {
        let pack = |blocks, live| PackUse { blocks, live };
        let uses = [
            pack(100, 50),
            pack(100, 49),
            pack(100, 10),
            pack(0, 0),
            pack(1, 1),
            pack(1000, 90),
        ];
        assert_eq!(sparse(&uses, 50, 1000), [5, 2, 1]);
        assert_eq!(sparse(&uses, 50, 100), [5, 2]);
        assert_eq!(sparse(&uses, 50, 10), Vec::<usize>::new());
        assert_eq!(sparse(&uses, 10, 1000), [5]);
    }
}
