//! A snapshot in: reads files, compares their blocks with the base's, stores what is new.
//!
//! It does not know where the files come from, nor which of them a database needs.
//!
//! Several threads work at once, each on a segment of a file from reading to sealing; see
//! [`segment_worker`]. They share the base, the tables of what the manifest will reach, and the uploads.
mod base;
mod draft;
mod manifest_tables;
mod pack_writer;
mod queue;
mod segment_worker;
mod unread;
mod uploads;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use model::{
    Hash, VolumeRef,
    cluster::Change,
    pages::{Content, Pages, can_be_checked},
};
use tokio::runtime::Handle;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        block::IdKey,
        body::{Body, Directory, check_path, parent},
        head::{FILE_BYTES, PACK_BYTES, SEGMENT_BYTES, VolumeTag},
        manifest::Manifest,
        part::Packer,
        seal::{Sealing, draw},
    },
    observer::Observer,
    store::{listing::VolumeListing, names::Condemned, vault::Vault},
};
pub use base::Base;
use base::{BaseSnapshot, SPARSE_PERCENT, blocks_of};
use draft::{FileDraft, Task};
use manifest_tables::ManifestTables;
use pack_writer::PackWriter;
use queue::Queue;
use segment_worker::{SegmentWorker, Shared};
use uploads::Uploads;

/// Threads of one writer at most.
const THREADS_MAX: usize = 8;
/// Segments of files that wait for a thread: each may hold a file open.
const TASKS_WAITING: usize = 64;

/// How a snapshot is written.
#[derive(Clone)]
pub struct WriteOptions {
    /// What the writing may take, bytes: packs that fill and are on their way, lists, buffers.
    /// It decides how many threads work, one at least, with which it needs about 80 MiB. The
    /// manifest's tables and paths come on top.
    pub memory_bytes: usize,
    /// Hears of bytes read ([`Observer::done`]) and of objects written.
    pub observer: Arc<dyn Observer>,
}

impl WriteOptions {
    /// Threads, and objects on their way at once: a thread takes a pack and as much again for
    /// lists, and two packs' worth is for the base's lists and all else.
    fn shares(&self) -> (usize, usize) {
        let packs = self.memory_bytes / PACK_BYTES;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (packs.saturating_sub(3) / 2).clamp(1, cores.min(THREADS_MAX));
        let under_way = packs.saturating_sub(2 + 2 * threads).clamp(1, 2 * threads);
        (threads, under_way)
    }
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
    /// What changed since its base; none without one.
    pub change: Option<Change>,
}

/// Writes one snapshot. Its methods block: they belong on a blocking thread of a tokio runtime.
/// Dropped before [`Self::finish`], it leaves objects that nothing reaches, for the sweep.
pub struct SnapshotWriter {
    volume: VolumeTag,
    sealing: Sealing,
    shared: Arc<Shared>,
    uploads: Arc<Uploads>,
    threads: Vec<JoinHandle<()>>,
    directories: Vec<Directory>,
    files: Vec<Arc<FileDraft>>,
    paths: HashSet<String>,
    directory_paths: HashSet<String>,
    /// Whether files were taken back, so that tables may name what nothing refers to.
    was_left_out: bool,
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotWriter")
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        // Threads still at work end at their next look.
        self.shared.queue.fail(VaultError::Spent);
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
        let sparse = SPARSE_PERCENT;
        Self::begin_leaving(vault, volume, sealing, base, condemned, options, sparse)
    }

    /// As [`Self::begin`]; packs of which less is live than this are left.
    pub(crate) fn begin_leaving(
        vault: &Vault,
        volume: &VolumeRef,
        sealing: Sealing,
        base: Option<Base>,
        condemned: &Condemned,
        options: WriteOptions,
        sparse_percent: u64,
    ) -> Result<Self, VaultError> {
        let handle = Handle::try_current().map_err(VaultError::NoRuntime)?;
        let base = match base {
            None => None,
            Some(base) => {
                let listing = VolumeListing::list(vault, volume, &ObjectKind::ALL, condemned);
                let listing = handle.block_on(listing)?;
                let has_key = base.data_key.is_some();
                if has_key != sealing.data_key().is_some() {
                    return Err(VaultError::Sealing {
                        object: ObjectId {
                            kind: ObjectKind::Manifest,
                            hash: base.manifest,
                        },
                        sealed: has_key,
                    });
                }
                let handle = handle.clone();
                let (base, sparse) = (&base, sparse_percent);
                let base = BaseSnapshot::open(vault, volume, listing, handle, base, sparse)?;
                Some(base)
            }
        };
        let (threads, under_way) = options.shares();
        let observer = options.observer;
        let uploads = Uploads::new(vault, volume, handle, under_way, Arc::clone(&observer));
        let drawn = || IdKey(draw());
        let mut writer = Self {
            volume: VolumeTag::of(volume),
            shared: Arc::new(Shared {
                id_key: base
                    .as_ref()
                    .map_or_else(drawn, |base| base.id_key().clone()),
                observer,
                base,
                tables: Arc::new(ManifestTables::default()),
                queue: Queue::new(TASKS_WAITING),
                same_blocks: AtomicU64::default(),
            }),
            uploads: Arc::new(uploads),
            threads: Vec::with_capacity(threads),
            sealing,
            directories: Vec::new(),
            files: Vec::new(),
            paths: HashSet::new(),
            directory_paths: HashSet::new(),
            was_left_out: false,
        };
        for _ in 0..threads {
            writer.add_thread()?;
        }
        Ok(writer)
    }

    fn add_thread(&mut self) -> Result<(), VaultError> {
        let sealed = self.sealing.data_key().is_some();
        let (uploads, tables) = (Arc::clone(&self.uploads), Arc::clone(&self.shared.tables));
        let packs = PackWriter::new(self.volume, sealed, uploads, tables);
        let worker = SegmentWorker::new(Arc::clone(&self.shared), packs);
        let thread = std::thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || worker.work())
            .map_err(VaultError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// The engine's document of the base that unchanged blocks refer to; none without a base.
    pub fn base_document(&self) -> Option<&str> {
        self.shared.base.as_ref().map(BaseSnapshot::document)
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

    /// Adds a file, which is read by several threads, now or a little later; [`Self::settle`]
    /// waits for it. A file whose change token and size are as in the base is not read at all, nor
    /// are pages that are [`SinceBase::Same`](model::pages::SinceBase::Same). The directory it lies
    /// in was added before.
    ///
    /// # Errors
    /// [`VaultError::BadPath`], [`VaultError::TooMany`] and [`VaultError::PageSize`], which leave the
    /// writer as it was;
    /// and the first failure of this file or an earlier one, after which the writer is spent:
    /// [`VaultError::Source`] when reading fails, [`VaultError::Stopped`], those of the base and
    /// the store.
    pub fn file(
        &mut self,
        path: &str,
        mode: u32,
        content: Arc<dyn Content>,
    ) -> Result<(), VaultError> {
        self.check(path)?;
        let size = content.size();
        if FILE_BYTES < size {
            return Err(VaultError::TooMany {
                what: "bytes in one file",
                limit: FILE_BYTES,
            });
        }
        if let Some(page_bytes) = content.pages().map(Pages::page_bytes)
            && !can_be_checked(page_bytes)
        {
            return Err(VaultError::PageSize {
                path: path.to_owned(),
                page_bytes,
            });
        }
        let segments = usize::try_from(size.div_ceil(SEGMENT_BYTES)).expect("files are bounded");
        let file = Arc::new(FileDraft {
            path: path.to_owned(),
            mode,
            size,
            change_token: content.change_token(),
            found: Mutex::new((0..segments).map(|_| None).collect()),
        });
        self.paths.insert(path.to_owned());
        self.files.push(Arc::clone(&file));
        for segment in 0..segments {
            self.shared.queue.put(Task {
                file: Arc::clone(&file),
                segment,
                content: Arc::clone(&content),
            })?;
        }
        Ok(())
    }

    /// Waits until every file added so far was read to its end.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn settle(&mut self) -> Result<(), VaultError> {
        self.shared.queue.settle()
    }

    /// Takes a file back that was added: the snapshot does not have it. What was stored for it
    /// alone is left to the sweep.
    ///
    /// # Errors
    /// As [`Self::settle`]; [`VaultError::BadPath`] when no such file was added.
    pub fn leave_out(&mut self, path: &str) -> Result<(), VaultError> {
        self.settle()?;
        let at = self.files.iter().position(|file| file.path == path);
        let Some(at) = at else {
            return Err(VaultError::BadPath {
                path: model::limits::echo(path),
                why: "is no file of the snapshot",
            });
        };
        let file = self.files.remove(at);
        self.paths.remove(path);
        self.shared.tables.uncount(&file.references());
        self.was_left_out = true;
        Ok(())
    }

    fn check(&self, path: &str) -> Result<(), VaultError> {
        let refused = |why| VaultError::BadPath {
            path: model::limits::echo(path),
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

    /// Finishes the snapshot: packs and lists become durable, then the manifest.
    ///
    /// # Errors
    /// The store's; [`VaultError::Stopped`]; [`VaultError::Spent`] after an earlier error.
    pub fn finish(mut self, engine_document: String) -> Result<Written, VaultError> {
        self.settle()?;
        if self.shared.observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        self.shared.queue.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                return Err(VaultError::Spent);
            }
        }
        self.settle()?;
        self.uploads.drain()?;
        let mut inventory = self.shared.tables.inventory();
        let (mut files, mut torn) = (Vec::with_capacity(self.files.len()), Vec::new());
        for (number, draft) in (0..).zip(&self.files) {
            let (file, blocks) = draft.finish();
            files.push(file);
            torn.extend(blocks.into_iter().map(|block| (number, block)));
        }
        if self.was_left_out {
            inventory.keep_reached(&mut files);
        }
        let body = Body {
            id_key: self.shared.id_key.clone(),
            list_keys: inventory.list_keys,
            pack_keys: inventory.pack_keys,
            pack_uses: inventory.pack_uses,
            logical_bytes: files.iter().map(|file| file.size).sum(),
            directories: std::mem::take(&mut self.directories),
            files,
            engine_document,
            torn,
            origins: Vec::new(),
        };
        let reached = inventory.lists.iter().chain(&inventory.packs);
        let reached_bytes: u64 = reached.map(|reached| reached.size).sum();
        let (manifest, bytes) = Manifest::write(
            self.volume,
            self.sealing.data_key(),
            inventory.lists,
            inventory.packs,
            &body,
            &mut Packer::new(),
        )?;
        let stored_bytes = reached_bytes + bytes.len() as u64;
        let kind = ObjectKind::Manifest;
        let hash = manifest;
        self.uploads.send(ObjectId { kind, hash }, bytes)?;
        self.uploads.drain()?;
        let (new_bytes, new_objects) = self.uploads.written();
        let change = self.shared.base.as_ref().map(|base| {
            let same = self.shared.same_blocks.load(Ordering::Relaxed);
            Change::between(base.blocks(), blocks_of(&body.files), same)
        });
        Ok(Written {
            change,
            manifest,
            logical_bytes: body.logical_bytes,
            stored_bytes,
            new_bytes,
            new_objects,
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_writer_may_move_to_another_thread() {
        fn sendable<T: Send>() {}
        sendable::<super::SnapshotWriter>();
    }
}
