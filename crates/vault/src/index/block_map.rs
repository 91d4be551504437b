//! The block lists of one snapshot, read when they are needed, and its segments with all their
//! patches laid upon each other.
//!
//! It does not know what the blocks are needed for. Memory: what was read lately, up to a bound.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use model::Hash;
use tokio::runtime::Handle;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        block::BlockId,
        body::{File, Layer, Segment},
        head::{SEGMENT_BLOCKS, VolumeTag},
        list::{List, ListEntry},
        manifest::Manifest,
        pack::Place,
        part::Unpacker,
    },
    store::object_source::Objects,
};

/// Lists kept decoded, bytes.
pub(crate) const KEPT_BYTES: usize = 24 << 20;

/// What a snapshot knows of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing: it is behind the file's end, or in no list that is there.
    Unknown,
    /// All zero.
    Zero,
    /// Stored.
    Stored {
        /// Its id.
        id: BlockId,
        /// The pack's number in the manifest; none when the manifest does not reach it.
        pack: Option<u32>,
        /// Where in the pack.
        place: Place,
    },
}

/// A list that was read.
#[derive(Debug)]
pub(crate) struct KnownList {
    pub(crate) list: List,
    /// For each pack of the list's table, its number in the manifest.
    packs: Vec<Option<u32>>,
}

impl KnownList {
    fn slot(&self, entry: usize) -> Slot {
        match self.list.entry(entry) {
            ListEntry::Zero => Slot::Zero,
            ListEntry::Stored { id, pack, place } => Slot::Stored {
                id: *id,
                pack: self.packs[pack],
                place,
            },
        }
    }
}

struct Kept {
    lists: HashMap<u32, (Arc<KnownList>, u64)>,
    bytes: usize,
    turn: u64,
    unpacker: Unpacker,
}

/// The lists of one snapshot. Shared by threads; its methods block.
pub(crate) struct Layers<'a> {
    objects: Objects<'a>,
    volume: VolumeTag,
    handle: Handle,
    pub(crate) manifest: Arc<Manifest>,
    numbers: HashMap<Hash, u32>,
    kept: Mutex<Kept>,
}

impl<'a> Layers<'a> {
    pub(crate) fn new(
        objects: Objects<'a>,
        volume: VolumeTag,
        handle: Handle,
        manifest: Arc<Manifest>,
    ) -> Self {
        let packs = (0..).zip(&manifest.tables.packs);
        Self {
            objects,
            volume,
            handle,
            numbers: packs.map(|(number, pack)| (pack.hash, number)).collect(),
            manifest,
            kept: Mutex::new(Kept {
                lists: HashMap::new(),
                bytes: 0,
                turn: 0,
                unpacker: Unpacker::new(),
            }),
        }
    }

    pub(crate) fn id(&self, list: u32) -> ObjectId {
        ObjectId {
            kind: ObjectKind::List,
            hash: self.manifest.tables.lists[list as usize].hash,
        }
    }

    /// Whether a list can be read.
    pub(crate) fn holds(&self, list: u32) -> bool {
        let size = self.manifest.tables.lists[list as usize].size;
        self.objects.holds(self.id(list), size)
    }

    /// Reads a list, or finds it among those that were read lately. One thread reads at a time:
    /// others want the same list as a rule.
    pub(crate) fn list(&self, number: u32) -> Result<Arc<KnownList>, VaultError> {
        let mut kept = self.kept.lock().unwrap_or_else(|e| e.into_inner());
        kept.turn += 1;
        let turn = kept.turn;
        if let Some((list, used)) = kept.lists.get_mut(&number) {
            *used = turn;
            return Ok(Arc::clone(list));
        }
        let object = self.id(number);
        let size = self.manifest.tables.lists[number as usize].size;
        let mut bytes = self.handle.block_on(self.objects.read(object, size))?;
        let key = self.manifest.list_key(number as usize);
        let list = List::read(
            object.hash,
            &mut bytes,
            self.volume,
            key,
            &mut kept.unpacker,
        )?;
        let packs = list.packs().map(|hash| self.numbers.get(&hash).copied());
        let list = Arc::new(KnownList {
            packs: packs.collect(),
            list,
        });
        kept.bytes += list.list.memory_bytes();
        while KEPT_BYTES < kept.bytes && !kept.lists.is_empty() {
            let oldest = kept.lists.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(number, _)| *number).expect("some are kept");
            if let Some((gone, _)) = kept.lists.remove(&oldest) {
                kept.bytes -= gone.list.memory_bytes();
            }
        }
        kept.lists.insert(number, (Arc::clone(&list), turn));
        Ok(list)
    }

    /// The blocks of a file's segment: whole list and patches laid upon each other into `slots`,
    /// as many as the segment of a file of `size` bytes has.
    ///
    /// # Errors
    /// When a list cannot be read, or does not have what the segment says.
    pub(crate) fn resolve(
        &self,
        size: u64,
        number: usize,
        segment: &Segment,
        slots: &mut Vec<Slot>,
    ) -> Result<(), VaultError> {
        let blocks = File::segment_blocks(size, number);
        slots.clear();
        slots.resize(blocks, Slot::Unknown);
        let whole = self.layer(&segment.whole, false)?;
        let count = usize::from(segment.whole.count).min(blocks);
        for (at, slot) in slots.iter_mut().enumerate().take(count) {
            *slot = whole.slot(segment.whole.first as usize + at);
        }
        for patch in &segment.patches {
            let list = self.layer(patch, true)?;
            let mut least = 0;
            for at in 0..usize::from(patch.count) {
                let entry = patch.first as usize + at;
                let position = list.list.position(entry);
                if position < least || SEGMENT_BLOCKS <= position {
                    let object = self.id(patch.list);
                    return Err(VaultError::damaged(object, "a patch is out of order"));
                }
                least = position + 1;
                // The file may have become shorter since.
                if let Some(slot) = slots.get_mut(position) {
                    *slot = list.slot(entry);
                }
            }
        }
        Ok(())
    }

    /// The list of a layer, once it has the entries that the layer names.
    pub(crate) fn layer(&self, layer: &Layer, patch: bool) -> Result<Arc<KnownList>, VaultError> {
        let list = self.list(layer.list)?;
        let wrong = |why| Err(VaultError::damaged(self.id(layer.list), why));
        if list.list.is_patches() != patch {
            return wrong("it is not of the kind that a file needs");
        }
        if list.list.entries() < layer.first as usize + usize::from(layer.count) {
            return wrong("it has fewer entries than a file needs");
        }
        Ok(list)
    }
}
