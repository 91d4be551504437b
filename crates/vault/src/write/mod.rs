//! A snapshot in: reads files, compares their blocks with the base's, stores what is new.
//!
//! It does not know where the files come from, nor which of them a database needs.
mod base;
mod stock;
mod uploads;

use std::{collections::HashSet, io::Read, sync::Arc};

use model::{Hash, VolumeRef};
use tokio::runtime::Handle;

use crate::{
    block::{BlockId, IdKey, is_zero},
    body::{Body, Directory, File, Segment, check_path, parent},
    error::{ObjectKind, VaultError},
    format::{BLOCK_BYTES, FILE_BYTES, FRAME_BYTES, PACK_BYTES, SEGMENT_BLOCKS, VolumeTag},
    list::{Entry, ListEntry},
    manifest::Manifest,
    observer::Observer,
    seal::{DataKey, Sealing, draw},
    store::{Condemned, Shelf, Vault},
};
use base::{BaseSegment, BaseSnapshot};
use stock::Stock;
use uploads::Uploads;

/// The snapshot that a new one refers to where nothing changed.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its manifest.
    pub manifest: Hash,
    /// Its data key; none in an unencrypted volume.
    pub data_key: Option<DataKey>,
}

/// How a snapshot is written.
#[derive(Clone)]
pub struct WriteOptions {
    /// What packs may take, filling and on their way, bytes: two packs of 16 MiB at least, six
    /// at most. Buffers and lists take up to 24 MiB more, and the manifest's tables and paths
    /// what they are long.
    pub memory_bytes: usize,
    /// Hears of bytes read ([`Observer::done`]) and of objects written.
    pub observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for WriteOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteOptions")
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

/// A snapshot that is whole and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its manifest's hash: its root hash.
    pub manifest: Hash,
    /// Bytes of its files.
    pub logical_bytes: u64,
    /// Bytes of all that it reaches in the vault, the manifest included.
    pub stored_bytes: u64,
    /// Bytes that were written for it.
    pub new_bytes: u64,
    /// Objects that were written for it.
    pub new_objects: u64,
}

/// Writes one snapshot. Its methods block: they belong on a blocking thread of a tokio runtime.
/// Dropped before [`Self::finish`], it leaves objects that nothing reaches, for the sweep.
pub struct SnapshotWriter {
    volume: VolumeTag,
    sealing: Sealing,
    observer: Arc<dyn Observer>,
    base: Option<BaseSnapshot>,
    id_key: IdKey,
    stock: Stock,
    directories: Vec<Directory>,
    files: Vec<File>,
    paths: HashSet<String>,
    directory_paths: HashSet<String>,
    logical_bytes: u64,
    buffer: Vec<u8>,
    segment: SegmentDraft,
    spent: bool,
}

/// The segment being read: up to 32 MiB of a file.
#[derive(Debug, Default)]
struct SegmentDraft {
    entries: Vec<Entry>,
    base: Option<BaseSegment>,
    /// Whether every block so far is as in the base, and lies there still.
    unchanged: bool,
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotWriter")
            .field("files", &self.files.len())
            .field("logical_bytes", &self.logical_bytes)
            .finish_non_exhaustive()
    }
}

impl SnapshotWriter {
    /// Begins a snapshot in a volume. With a base, which must be of the same volume and sealing,
    /// unchanged blocks refer to where the base has them, as long as that is not condemned.
    ///
    /// # Errors
    /// [`VaultError::Missing`] when the base is gone (a snapshot without a base is then right),
    /// [`VaultError::WrongKey`], [`VaultError::Sealing`], [`VaultError::Damaged`], the store's.
    pub fn begin(
        vault: &Vault,
        volume: &VolumeRef,
        sealing: Sealing,
        base: Option<Base>,
        condemned: &Condemned,
        options: WriteOptions,
    ) -> Result<Self, VaultError> {
        let handle = Handle::try_current().map_err(VaultError::NoRuntime)?;
        let base = match base {
            None => None,
            Some(base) => {
                let listing = Shelf::list(vault, volume, &ObjectKind::ALL, condemned);
                let shelf = handle.block_on(listing)?;
                let key = base.data_key.as_ref();
                if key.is_some() != sealing.data_key().is_some() {
                    return Err(VaultError::Sealing {
                        object: crate::ObjectId {
                            kind: ObjectKind::Manifest,
                            hash: base.manifest,
                        },
                        sealed: key.is_some(),
                    });
                }
                let handle = handle.clone();
                Some(BaseSnapshot::open(
                    vault,
                    volume,
                    shelf,
                    handle,
                    base.manifest,
                    key,
                )?)
            }
        };
        let tag = VolumeTag::of(volume);
        // One pack is filling, the others are on their way.
        let under_way = (options.memory_bytes / PACK_BYTES).clamp(2, 6) - 1;
        let observer = options.observer;
        let uploads = Uploads::new(vault, volume, handle, under_way, Arc::clone(&observer));
        Ok(Self {
            volume: tag,
            id_key: base
                .as_ref()
                .map_or_else(|| IdKey(draw()), |base| base.id_key().clone()),
            stock: Stock::new(tag, sealing.data_key().is_some(), uploads),
            sealing,
            observer,
            base,
            directories: Vec::new(),
            files: Vec::new(),
            paths: HashSet::new(),
            directory_paths: HashSet::new(),
            logical_bytes: 0,
            buffer: vec![0; FRAME_BYTES],
            segment: SegmentDraft::default(),
            spent: false,
        })
    }

    /// Adds a directory. The one it lies in was added before.
    ///
    /// # Errors
    /// [`VaultError::BadPath`]; [`VaultError::Spent`] after an earlier error.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<(), VaultError> {
        self.check(path)?;
        self.paths.insert(path.to_owned());
        self.directory_paths.insert(path.to_owned());
        self.directories.push(Directory {
            path: path.to_owned(),
            mode,
        });
        Ok(())
    }

    /// Adds a file, read to its end, and gives its bytes. Files added in the same order as in
    /// the base are compared fastest. The directory it lies in was added before.
    ///
    /// # Errors
    /// [`VaultError::BadPath`] and [`VaultError::TooMany`] before anything is read;
    /// [`VaultError::Source`] when reading fails; [`VaultError::Stopped`]; those of the base and
    /// the store. After any of these but the first, the writer is spent.
    pub fn file(
        &mut self,
        path: &str,
        mode: u32,
        content: &mut dyn Read,
    ) -> Result<u64, VaultError> {
        self.check(path)?;
        // Until the file is whole, an error leaves entries behind that belong to no file.
        self.spent = true;
        let mut buffer = std::mem::take(&mut self.buffer);
        let (size, segments) = self.read_file(path, content, &mut buffer)?;
        self.buffer = buffer;
        self.paths.insert(path.to_owned());
        self.files.push(File {
            path: path.to_owned(),
            mode,
            size,
            segments,
        });
        self.logical_bytes += size;
        self.spent = false;
        Ok(size)
    }

    fn check(&self, path: &str) -> Result<(), VaultError> {
        if self.spent {
            return Err(VaultError::Spent);
        }
        let refused = |why| VaultError::BadPath {
            path: path.chars().take(model::limits::ECHO_CHARS_MAX).collect(),
            why,
        };
        check_path(path).map_err(refused)?;
        if self.paths.contains(path) {
            return Err(refused("is in the snapshot already"));
        }
        if parent(path).is_some_and(|parent| !self.directory_paths.contains(parent)) {
            return Err(refused(
                "lies in a directory that the snapshot does not have",
            ));
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        path: &str,
        content: &mut dyn Read,
        buffer: &mut [u8],
    ) -> Result<(u64, Vec<Segment>), VaultError> {
        let base = self.base.as_ref().and_then(|base| base.file(path));
        let (mut size, mut segments) = (0, Vec::new());
        loop {
            if self.observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            let filled = fill(content, buffer).map_err(|source| VaultError::Source {
                path: path.to_owned(),
                offset: size,
                source,
            })?;
            if filled == 0 {
                break;
            }
            // A frame's worth of blocks divides a segment, so a buffer lies in one segment.
            if self.segment.entries.is_empty() {
                self.begin_segment(base, segments.len())?;
            }
            for block in buffer[..filled].chunks(BLOCK_BYTES) {
                let entry = self.place(block)?;
                self.segment.entries.push(entry);
            }
            size += filled as u64;
            self.observer.done(filled as u64);
            if FILE_BYTES < size {
                return Err(VaultError::TooMany {
                    what: "bytes in one file",
                    limit: FILE_BYTES,
                });
            }
            if self.segment.entries.len() == SEGMENT_BLOCKS {
                segments.push(self.end_segment()?);
            }
            if filled < buffer.len() {
                break;
            }
        }
        if !self.segment.entries.is_empty() {
            segments.push(self.end_segment()?);
        }
        Ok((size, segments))
    }

    fn begin_segment(&mut self, file: Option<usize>, number: usize) -> Result<(), VaultError> {
        self.segment.base = match (&mut self.base, file) {
            (Some(base), Some(file)) => base.segment(file, number)?,
            _ => None,
        };
        self.segment.unchanged = self.segment.base.is_some();
        Ok(())
    }

    /// Finds the block in the base at the same file and offset, or stores it.
    fn place(&mut self, block: &[u8]) -> Result<Entry, VaultError> {
        let old = self.segment.base.as_ref().and_then(|base| {
            let at = self.segment.entries.len();
            (at < base.blocks).then(|| base.list.list.entry(base.segment.first as usize + at))
        });
        if is_zero(block) {
            self.segment.unchanged &= old == Some(ListEntry::Zero);
            return Ok(Entry::Zero);
        }
        let id: BlockId = self.id_key.id(block);
        if let (
            Some(ListEntry::Stored {
                id: old_id,
                pack,
                place,
            }),
            Some(from),
        ) = (old, &self.segment.base)
            && *old_id == id
            && let (Some(pack), Some(base)) = (from.list.packs[pack], &mut self.base)
        {
            let stock = &mut self.stock;
            let pack = base.pack_number(pack, |reached, key| stock.adopt_pack(reached, key));
            return Ok(Entry::Stored { id, pack, place });
        }
        self.segment.unchanged = false;
        let (pack, place) = self.stock.store(block)?;
        Ok(Entry::Stored { id, pack, place })
    }

    /// Refers to the base's list when nothing changed, else lists the segment anew.
    fn end_segment(&mut self) -> Result<Segment, VaultError> {
        let from = self.segment.base.take();
        let segment = match (from, &mut self.base) {
            (Some(from), Some(base))
                if self.segment.unchanged && from.blocks == self.segment.entries.len() =>
            {
                let stock = &mut self.stock;
                let list = base.list_number(from.segment.list, |reached, key| {
                    stock.adopt_list(reached, key)
                });
                Segment {
                    list,
                    first: from.segment.first,
                }
            }
            _ => {
                let (list, first) = self.stock.list(&self.segment.entries)?;
                Segment { list, first }
            }
        };
        self.segment.entries.clear();
        Ok(segment)
    }

    /// Finishes the snapshot: packs and lists become durable, then the manifest.
    ///
    /// # Errors
    /// The store's; [`VaultError::Stopped`]; [`VaultError::Spent`] after an earlier error.
    pub fn finish(mut self, engine_document: String) -> Result<Written, VaultError> {
        if self.spent {
            return Err(VaultError::Spent);
        }
        if self.observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        let inventory = self.stock.finish()?;
        let body = Body {
            id_key: self.id_key.clone(),
            list_keys: inventory.list_keys,
            pack_keys: inventory.pack_keys,
            logical_bytes: self.logical_bytes,
            directories: std::mem::take(&mut self.directories),
            files: std::mem::take(&mut self.files),
            engine_document,
        };
        let reached = inventory.lists.iter().chain(&inventory.packs);
        let reached_bytes: u64 = reached.map(|reached| reached.size).sum();
        let (manifest, bytes) = Manifest::write(
            self.volume,
            self.sealing.data_key(),
            inventory.lists,
            inventory.packs,
            &body,
            &mut self.stock.packer,
        )?;
        let stored_bytes = reached_bytes + bytes.len() as u64;
        self.stock.put_manifest(manifest, bytes)?;
        let (new_bytes, new_objects) = self.stock.written();
        Ok(Written {
            manifest,
            logical_bytes: body.logical_bytes,
            stored_bytes,
            new_bytes,
            new_objects,
        })
    }
}

/// Reads until the buffer is full or the content ends.
fn fill(content: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_writer_may_move_to_another_thread() {
        fn sendable<T: Send>() {}
        sendable::<super::SnapshotWriter>();
    }
}
