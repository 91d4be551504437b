//! What a snapshot being written stores anew, and all that its manifest will reach: packs and
//! block lists, filling, waiting and finished.
//!
//! It does not know files, nor why a block is stored.
use model::Hash;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::VolumeTag,
    list::{Entry, ListDraft},
    manifest::Reached,
    pack::{PackBuffers, PackBuilder, Place},
    part::Packer,
    seal::ObjectKey,
    write::uploads::Uploads,
};

/// Full lists that may wait for the pack they end in. A pack is closed early when so many wait,
/// so that little change spread over much data does not fill the memory with lists.
const LISTS_WAITING: usize = 4;

/// A row of a manifest's tables, with its key. Without a hash it is still being made.
#[derive(Debug, Clone)]
struct Row {
    reached: Option<Reached>,
    key: Option<ObjectKey>,
}

pub(crate) struct Stock {
    volume: VolumeTag,
    sealed: bool,
    uploads: Uploads,
    pub(crate) packer: Packer,
    packs: Vec<Row>,
    lists: Vec<Row>,
    /// The filling pack and its number.
    pack: Option<(PackBuilder, u32)>,
    frame_buffer: Vec<u8>,
    /// The filling list and its number.
    list: Option<(ListDraft, u32)>,
    waiting: Vec<(ListDraft, u32)>,
}

/// The tables of a manifest and their keys, in the same order.
pub(crate) struct Inventory {
    pub(crate) lists: Vec<Reached>,
    pub(crate) packs: Vec<Reached>,
    pub(crate) list_keys: Vec<ObjectKey>,
    pub(crate) pack_keys: Vec<ObjectKey>,
}

fn add_row(rows: &mut Vec<Row>, row: Row) -> u32 {
    rows.push(row);
    u32::try_from(rows.len() - 1).expect("the size of manifests bounds their tables")
}

impl Stock {
    pub(crate) fn new(volume: VolumeTag, sealed: bool, uploads: Uploads) -> Self {
        Self {
            volume,
            sealed,
            uploads,
            packer: Packer::new(),
            packs: Vec::new(),
            lists: Vec::new(),
            pack: None,
            frame_buffer: Vec::new(),
            list: None,
            waiting: Vec::new(),
        }
    }

    /// Takes a pack of the base into the new manifest.
    pub(crate) fn adopt_pack(&mut self, reached: Reached, key: Option<&ObjectKey>) -> u32 {
        let row = Row {
            reached: Some(reached),
            key: key.cloned(),
        };
        add_row(&mut self.packs, row)
    }

    /// Takes a list of the base into the new manifest.
    pub(crate) fn adopt_list(&mut self, reached: Reached, key: Option<&ObjectKey>) -> u32 {
        let row = Row {
            reached: Some(reached),
            key: key.cloned(),
        };
        add_row(&mut self.lists, row)
    }

    /// Stores a block and tells where.
    pub(crate) fn store(&mut self, block: &[u8]) -> Result<(u32, Place), VaultError> {
        let (pack, number) = match &mut self.pack {
            Some(filling) => filling,
            None => {
                let buffers = PackBuffers {
                    pack: self.uploads.take_buffer(),
                    frame: std::mem::take(&mut self.frame_buffer),
                };
                let row = Row {
                    reached: None,
                    key: None,
                };
                let pack = PackBuilder::begin(self.volume, self.sealed, buffers);
                self.pack.insert((pack, add_row(&mut self.packs, row)))
            }
        };
        let at = (*number, pack.push(block, &mut self.packer));
        if pack.is_full() {
            self.close_pack()?;
        }
        Ok(at)
    }

    /// Lists a segment and tells in which list and from which entry on.
    pub(crate) fn list(&mut self, segment: &[Entry]) -> Result<(u32, u32), VaultError> {
        let (list, number) = match &mut self.list {
            Some(filling) => filling,
            None => {
                let row = Row {
                    reached: None,
                    key: None,
                };
                let number = add_row(&mut self.lists, row);
                self.list.insert((ListDraft::default(), number))
            }
        };
        let at = (*number, list.push(segment));
        if list.is_full() {
            self.waiting.extend(self.list.take());
            if self.pack.is_none() {
                self.finish_lists()?;
            } else if LISTS_WAITING <= self.waiting.len() {
                self.close_pack()?;
            }
        }
        Ok(at)
    }

    fn close_pack(&mut self) -> Result<(), VaultError> {
        if let Some((pack, number)) = self.pack.take() {
            let (pack, frame) = pack.finish(&mut self.packer);
            self.frame_buffer = frame;
            let row = &mut self.packs[number as usize];
            row.reached = Some(Reached {
                hash: pack.hash,
                size: pack.bytes.len() as u64,
            });
            row.key = self.sealed.then_some(pack.key);
            let object = ObjectId {
                kind: ObjectKind::Pack,
                hash: pack.hash,
            };
            self.uploads.send(object, pack.bytes)?;
        }
        self.finish_lists()
    }

    /// Builds the lists that waited: no pack is filling, so every pack has its hash.
    fn finish_lists(&mut self) -> Result<(), VaultError> {
        for (draft, number) in std::mem::take(&mut self.waiting) {
            let hash_of = |pack: u32| -> Hash {
                let row = self.packs[pack as usize].reached;
                row.expect("no pack is filling").hash
            };
            let (hash, key, bytes) =
                draft.finish(self.volume, self.sealed, &mut self.packer, hash_of);
            let row = &mut self.lists[number as usize];
            row.reached = Some(Reached {
                hash,
                size: bytes.len() as u64,
            });
            row.key = self.sealed.then_some(key);
            let kind = ObjectKind::List;
            self.uploads.send(ObjectId { kind, hash }, bytes)?;
        }
        Ok(())
    }

    /// Finishes every pack and list, waits until they are durable, and gives the tables.
    pub(crate) fn finish(&mut self) -> Result<Inventory, VaultError> {
        self.waiting.extend(self.list.take());
        self.close_pack()?;
        self.uploads.drain()?;
        let table = |rows: &[Row]| -> Vec<Reached> {
            rows.iter()
                .map(|row| row.reached.expect("every pack and list is finished"))
                .collect()
        };
        let keys = |rows: &mut Vec<Row>| -> Vec<ObjectKey> {
            rows.drain(..).filter_map(|row| row.key).collect()
        };
        Ok(Inventory {
            lists: table(&self.lists),
            packs: table(&self.packs),
            list_keys: keys(&mut self.lists),
            pack_keys: keys(&mut self.packs),
        })
    }

    /// Writes the manifest, once everything it reaches is durable, and waits for it.
    pub(crate) fn put_manifest(&mut self, hash: Hash, bytes: Vec<u8>) -> Result<(), VaultError> {
        let kind = ObjectKind::Manifest;
        self.uploads.send(ObjectId { kind, hash }, bytes)?;
        self.uploads.drain()
    }

    /// Bytes and objects written so far.
    pub(crate) fn written(&self) -> (u64, u64) {
        (self.uploads.bytes, self.uploads.objects)
    }
}
