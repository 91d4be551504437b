//! What one thread of a snapshot being written stores anew: a pack and two block lists that
//! fill, and lists that wait for the pack they end in.
//!
//! It does not know files, nor why a block is stored.
use std::sync::Arc;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        body::Layer,
        head::VolumeTag,
        list::{Entry, ListDraft},
        pack::{PackBuffers, PackBuilder, Place},
        part::Packer,
        tables::Reached,
    },
    write::{manifest_tables::ManifestTables, uploads::Uploads},
};

/// Full lists that may wait for the pack they end in. A pack is closed early when so many wait,
/// so that little change spread over much data does not fill the memory with lists.
const LISTS_WAITING: usize = 2;

/// A list that is filling, and its number in the manifest.
type Filling = Option<(ListDraft, u32)>;

pub(crate) struct PackWriter {
    volume: VolumeTag,
    sealed: bool,
    uploads: Arc<Uploads>,
    tables: Arc<ManifestTables>,
    packer: Packer,
    /// The filling pack, its number and its blocks.
    pack: Option<(PackBuilder, u32, u32)>,
    frame_buffer: Vec<u8>,
    whole: Filling,
    patches: Filling,
    waiting: Vec<(ListDraft, u32)>,
}

impl PackWriter {
    pub(crate) fn new(
        volume: VolumeTag,
        sealed: bool,
        uploads: Arc<Uploads>,
        tables: Arc<ManifestTables>,
    ) -> Self {
        Self {
            volume,
            sealed,
            uploads,
            tables,
            packer: Packer::new(),
            pack: None,
            frame_buffer: Vec::new(),
            whole: None,
            patches: None,
            waiting: Vec::new(),
        }
    }

    /// Stores a block and tells where.
    pub(crate) fn store(&mut self, block: &[u8]) -> Result<(u32, Place), VaultError> {
        let (pack, number, blocks) = match &mut self.pack {
            Some(filling) => filling,
            None => {
                let buffers = PackBuffers {
                    pack: self.uploads.take_buffer(),
                    frame: std::mem::take(&mut self.frame_buffer),
                };
                let pack = PackBuilder::begin(self.volume, self.sealed, buffers);
                self.pack.insert((pack, self.tables.begin_pack(), 0))
            }
        };
        let at = (*number, pack.push(block, &mut self.packer));
        *blocks += 1;
        if pack.is_full() {
            self.close_pack()?;
        }
        Ok(at)
    }

    /// Lists a whole segment.
    pub(crate) fn list(&mut self, segment: &[Entry]) -> Result<Layer, VaultError> {
        let tables = &self.tables;
        let (list, number) = self
            .whole
            .get_or_insert_with(|| (ListDraft::whole(), tables.begin_list()));
        let layer = layer(*number, list.push(segment), segment.len());
        if list.is_full() {
            self.waiting.extend(self.whole.take());
            self.relieve()?;
        }
        Ok(layer)
    }

    /// Lists the entries of a segment at these ascending positions, as a patch.
    pub(crate) fn patch(&mut self, segment: &[Entry], at: &[u16]) -> Result<Layer, VaultError> {
        let tables = &self.tables;
        let (list, number) = self
            .patches
            .get_or_insert_with(|| (ListDraft::patches(), tables.begin_list()));
        let layer = layer(*number, list.push_patch(segment, at), at.len());
        if list.is_full() {
            self.waiting.extend(self.patches.take());
            self.relieve()?;
        }
        Ok(layer)
    }

    /// Builds the lists that wait, at once or when they have become too many.
    fn relieve(&mut self) -> Result<(), VaultError> {
        if self.pack.is_none() {
            self.finish_lists()
        } else if LISTS_WAITING <= self.waiting.len() {
            self.close_pack()
        } else {
            Ok(())
        }
    }

    fn close_pack(&mut self) -> Result<(), VaultError> {
        if let Some((pack, number, blocks)) = self.pack.take() {
            let (pack, frame) = pack.finish(&mut self.packer);
            self.frame_buffer = frame;
            let (hash, size) = (pack.hash, pack.bytes.len() as u64);
            let key = self.sealed.then_some(pack.key);
            self.tables
                .end_pack(number, Reached { hash, size }, key, blocks);
            let kind = ObjectKind::Pack;
            self.uploads.send(ObjectId { kind, hash }, pack.bytes)?;
        }
        self.finish_lists()
    }

    /// Builds the lists that waited: no pack of this thread is filling, and they name no other's.
    fn finish_lists(&mut self) -> Result<(), VaultError> {
        for (draft, number) in std::mem::take(&mut self.waiting) {
            let tables = &self.tables;
            let (hash, key, bytes) =
                draft.finish(self.volume, self.sealed, &mut self.packer, |pack| {
                    tables.pack_hash(pack)
                });
            let size = bytes.len() as u64;
            let key = self.sealed.then_some(key);
            self.tables.end_list(number, Reached { hash, size }, key);
            let kind = ObjectKind::List;
            self.uploads.send(ObjectId { kind, hash }, bytes)?;
        }
        Ok(())
    }

    /// Finishes the pack and the lists and sends them off.
    pub(crate) fn finish(&mut self) -> Result<(), VaultError> {
        self.waiting.extend(self.whole.take());
        self.waiting.extend(self.patches.take());
        self.close_pack()
    }
}

fn layer(list: u32, first: u32, count: usize) -> Layer {
    let count = u16::try_from(count).expect("a segment has few blocks");
    Layer { list, first, count }
}
