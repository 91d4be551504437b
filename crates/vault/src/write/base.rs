//! The base of a snapshot being written: which blocks were where, and which may be referred to.
//!
//! It does not know what the new snapshot's blocks are.
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use model::{Hash, VolumeRef};
use tokio::runtime::Handle;

use crate::{
    block::IdKey,
    body::{File, Segment},
    error::{ObjectId, ObjectKind, VaultError},
    format::VolumeTag,
    list::List,
    manifest::{Manifest, Reached},
    part::Unpacker,
    seal::{DataKey, ObjectKey},
    store::{Shelf, Vault},
};

/// Base lists kept decoded: files are compared in nearly the order in which they were listed.
const LISTS_KEPT: usize = 4;
const UNUSED: u32 = u32::MAX;

/// A base list that was read.
#[derive(Debug)]
pub(crate) struct BaseList {
    pub(crate) list: List,
    /// For each pack of the list's table, its number in the base; none when blocks in it cannot
    /// be referred to.
    pub(crate) packs: Vec<Option<u32>>,
}

/// A stretch of the base's version of a file.
#[derive(Debug, Clone)]
pub(crate) struct BaseSegment {
    pub(crate) list: Arc<BaseList>,
    pub(crate) segment: Segment,
    pub(crate) blocks: usize,
}

pub(crate) struct BaseSnapshot {
    vault: Vault,
    shelf: Shelf,
    volume: VolumeTag,
    handle: Handle,
    manifest: Manifest,
    files: HashMap<String, usize>,
    packs: HashMap<Hash, u32>,
    kept: VecDeque<(u32, Arc<BaseList>)>,
    unpacker: Unpacker,
    /// For each of its packs, the number in the new manifest once something there refers to it.
    pack_numbers: Vec<u32>,
    list_numbers: Vec<u32>,
}

impl BaseSnapshot {
    pub(crate) fn open(
        vault: &Vault,
        volume: &VolumeRef,
        shelf: Shelf,
        handle: Handle,
        manifest: Hash,
        data_key: Option<&DataKey>,
    ) -> Result<Self, VaultError> {
        let object = ObjectId {
            kind: ObjectKind::Manifest,
            hash: manifest,
        };
        let tag = VolumeTag::of(volume);
        let mut bytes = handle.block_on(vault.read_whole(object, &shelf, Vec::new()))?;
        let mut unpacker = Unpacker::new();
        let manifest = Manifest::read(manifest, &mut bytes, tag, data_key, &mut unpacker)?;
        let files = manifest.body.files.iter().enumerate();
        // A pack that is gone or condemned is left out: its blocks are written anew.
        let present = |(number, pack): (usize, &Reached)| {
            let object = ObjectId {
                kind: ObjectKind::Pack,
                hash: pack.hash,
            };
            let number = u32::try_from(number).expect("a manifest has few packs");
            shelf
                .holds(object, pack.size)
                .then_some((pack.hash, number))
        };
        Ok(Self {
            files: files.map(|(i, file)| (file.path.clone(), i)).collect(),
            packs: manifest
                .tables
                .packs
                .iter()
                .enumerate()
                .filter_map(present)
                .collect(),
            pack_numbers: vec![UNUSED; manifest.tables.packs.len()],
            list_numbers: vec![UNUSED; manifest.tables.lists.len()],
            vault: vault.clone(),
            shelf,
            volume: tag,
            handle,
            manifest,
            kept: VecDeque::with_capacity(LISTS_KEPT),
            unpacker,
        })
    }

    pub(crate) fn id_key(&self) -> &IdKey {
        &self.manifest.body.id_key
    }

    /// The base's file of this path, by number.
    pub(crate) fn file(&self, path: &str) -> Option<usize> {
        self.files.get(path).copied()
    }

    /// A stretch of a file; none when the file was shorter or the list is gone.
    pub(crate) fn segment(
        &mut self,
        file: usize,
        number: usize,
    ) -> Result<Option<BaseSegment>, VaultError> {
        let file = &self.manifest.body.files[file];
        let Some(segment) = file.segments.get(number).copied() else {
            return Ok(None);
        };
        let blocks = File::segment_blocks(file.size, number);
        let Some(list) = self.list(segment.list)? else {
            return Ok(None);
        };
        if list.list.entries() < segment.first as usize + blocks {
            let object = self.list_id(segment.list);
            return Err(VaultError::damaged(
                object,
                "it has fewer entries than a file needs",
            ));
        }
        Ok(Some(BaseSegment {
            list,
            segment,
            blocks,
        }))
    }

    fn list_id(&self, number: u32) -> ObjectId {
        ObjectId {
            kind: ObjectKind::List,
            hash: self.manifest.tables.lists[number as usize].hash,
        }
    }

    fn list(&mut self, number: u32) -> Result<Option<Arc<BaseList>>, VaultError> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == number) {
            let found = self.kept.remove(at).expect("it was just found");
            let list = Arc::clone(&found.1);
            self.kept.push_back(found);
            return Ok(Some(list));
        }
        let object = self.list_id(number);
        if self.shelf.find(object).is_empty() {
            return Ok(None);
        }
        let read = self.vault.read_whole(object, &self.shelf, Vec::new());
        let mut bytes = self.handle.block_on(read)?;
        let key = self.manifest.list_key(number as usize);
        let list = List::read(
            object.hash,
            &mut bytes,
            self.volume,
            key,
            &mut self.unpacker,
        )?;
        let packs = list.packs().map(|hash| self.packs.get(&hash).copied());
        let list = Arc::new(BaseList {
            packs: packs.collect(),
            list,
        });
        if self.kept.len() == LISTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((number, Arc::clone(&list)));
        Ok(Some(list))
    }

    /// The number that a base pack has in the new manifest; `add` gives it one at first.
    pub(crate) fn pack_number(
        &mut self,
        pack: u32,
        add: impl FnOnce(Reached, Option<&ObjectKey>) -> u32,
    ) -> u32 {
        let at = pack as usize;
        if self.pack_numbers[at] == UNUSED {
            let key = self.manifest.body.pack_keys.get(at);
            self.pack_numbers[at] = add(self.manifest.tables.packs[at], key);
        }
        self.pack_numbers[at]
    }

    /// The number that a base list has in the new manifest; `add` gives it one at first.
    pub(crate) fn list_number(
        &mut self,
        list: u32,
        add: impl FnOnce(Reached, Option<&ObjectKey>) -> u32,
    ) -> u32 {
        let at = list as usize;
        if self.list_numbers[at] == UNUSED {
            let key = self.manifest.body.list_keys.get(at);
            self.list_numbers[at] = add(self.manifest.tables.lists[at], key);
        }
        self.list_numbers[at]
    }
}
