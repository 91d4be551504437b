//! A snapshot out: reads every pack once and scatters its blocks into files.
//!
//! It does not know what the files are for, nor when they count as restored: the caller renames.
mod plan;
mod tree;

use std::{collections::HashMap, path::Path};

use model::{Hash, VolumeRef};
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    block::{IdKey, RunCheck},
    error::{ObjectKind, VaultError},
    format::{BLOCK_BYTES, FRAME_BYTES, VolumeTag},
    list::List,
    manifest::{Manifest, Reached},
    observer::Observer,
    pack::PackReader,
    part::Unpacker,
    seal::DataKey,
    store::{Condemned, Shelf, Vault},
};
use plan::{Plan, Run, object};
use tree::Tree;

/// A snapshot whose files are in place and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the engine gave when the snapshot was finished.
    pub engine_document: String,
    /// Bytes of its files.
    pub logical_bytes: u64,
    /// How many files.
    pub files: u64,
}

/// Restores a snapshot into a folder that does not exist yet, or is empty. Blocks: it belongs
/// on a blocking thread of a tokio runtime. After an error, what is in the folder is incomplete.
///
/// Checked on the way: the hash of every object, seals, sizes, and the id of every block. Zero
/// blocks stay holes. Memory: two packs, and the plan (see `read::plan`).
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`], [`VaultError::Content`],
/// [`VaultError::WrongKey`], [`VaultError::Sealing`], [`VaultError::BadPath`],
/// [`VaultError::Stopped`], those of file system and store.
pub fn restore(
    vault: &Vault,
    volume: &VolumeRef,
    manifest: Hash,
    data_key: Option<&DataKey>,
    condemned: &Condemned,
    into: &Path,
    observer: &dyn Observer,
) -> Result<Restored, VaultError> {
    let handle = Handle::try_current().map_err(VaultError::NoRuntime)?;
    let shelf = handle.block_on(Shelf::list(vault, volume, &ObjectKind::ALL, condemned))?;
    let mut job = Job {
        vault,
        volume: VolumeTag::of(volume),
        shelf,
        handle,
        observer,
        unpacker: Unpacker::new(),
    };
    let manifest = job.manifest(manifest, data_key)?;
    observer.total(manifest.body.logical_bytes);
    let runs = job.plan(&manifest)?;
    let mut tree = Tree::make(into, &manifest.body)?;
    let stored = job.scatter(&manifest, &runs, &mut tree)?;
    drop(runs);
    tree.finish()?;
    // What was not stored are holes.
    observer.done(manifest.body.logical_bytes.saturating_sub(stored));
    Ok(Restored {
        logical_bytes: manifest.body.logical_bytes,
        files: manifest.body.files.len() as u64,
        engine_document: manifest.body.engine_document,
    })
}

struct Job<'a> {
    vault: &'a Vault,
    volume: VolumeTag,
    shelf: Shelf,
    handle: Handle,
    observer: &'a dyn Observer,
    unpacker: Unpacker,
}

impl Job<'_> {
    fn go_on(&self) -> Result<(), VaultError> {
        if self.observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        Ok(())
    }

    fn manifest(&mut self, hash: Hash, key: Option<&DataKey>) -> Result<Manifest, VaultError> {
        let id = object(ObjectKind::Manifest, hash);
        let read = self.vault.read_whole(id, &self.shelf, Vec::new());
        let mut bytes = self.handle.block_on(read)?;
        Manifest::read(hash, &mut bytes, self.volume, key, &mut self.unpacker)
    }

    /// Reads every block list once and plans where each block goes.
    fn plan(&mut self, manifest: &Manifest) -> Result<Vec<Run>, VaultError> {
        let numbers: HashMap<Hash, u32> = (0..)
            .zip(&manifest.tables.packs)
            .map(|(i, p)| (p.hash, i))
            .collect();
        let mut plan = Plan::default();
        let mut buffer = Vec::new();
        let stretches = plan::stretches(manifest);
        for of_list in stretches.chunk_by(|a, b| a.list == b.list) {
            self.go_on()?;
            let number = of_list[0].list as usize;
            let row = manifest.tables.lists[number];
            let id = object(ObjectKind::List, row.hash);
            let read = self.vault.read_whole(id, &self.shelf, buffer);
            buffer = self.handle.block_on(read)?;
            if buffer.len() as u64 != row.size {
                return Err(VaultError::damaged(id, "it does not have its size"));
            }
            let key = manifest.list_key(number);
            let list = List::read(row.hash, &mut buffer, self.volume, key, &mut self.unpacker)?;
            let packs: Vec<Option<u32>> = list
                .packs()
                .map(|hash| numbers.get(&hash).copied())
                .collect();
            for stretch in of_list {
                let size = manifest.body.files[stretch.file()].size;
                plan.add(*stretch, size, &list, &packs, id)?;
            }
        }
        Ok(plan.finish())
    }

    /// Reads every pack that is needed, the next one while one is scattered, and gives the bytes
    /// that were written.
    fn scatter(
        &mut self,
        manifest: &Manifest,
        runs: &[Run],
        tree: &mut Tree<'_>,
    ) -> Result<u64, VaultError> {
        let mut groups = runs.chunk_by(|a, b| a.pack == b.pack).peekable();
        let mut spare = Vec::new();
        let mut frame = vec![0; FRAME_BYTES];
        let mut written = 0;
        let mut coming = groups
            .peek()
            .map(|runs| self.fetch(manifest, runs[0].pack, Vec::new()));
        while let (Some(runs), Some(fetched)) = (groups.next(), coming.take()) {
            let mut bytes = self.handle.block_on(fetched).map_err(VaultError::Task)??;
            coming = groups
                .peek()
                .map(|runs| self.fetch(manifest, runs[0].pack, std::mem::take(&mut spare)));
            written += self.scatter_pack(manifest, runs, &mut bytes, &mut frame, tree)?;
            spare = bytes;
        }
        Ok(written)
    }

    fn fetch(
        &self,
        manifest: &Manifest,
        pack: u32,
        buffer: Vec<u8>,
    ) -> JoinHandle<Result<Vec<u8>, VaultError>> {
        let Reached { hash, size } = manifest.tables.packs[pack as usize];
        let id = object(ObjectKind::Pack, hash);
        let (vault, shelf) = (self.vault.clone(), self.shelf.only(id));
        self.handle.spawn(async move {
            let bytes = vault.read_whole(id, &shelf, buffer).await?;
            if bytes.len() as u64 != size {
                return Err(VaultError::damaged(id, "it does not have its size"));
            }
            Ok(bytes)
        })
    }

    fn scatter_pack(
        &mut self,
        manifest: &Manifest,
        mut runs: &[Run],
        bytes: &mut [u8],
        frame: &mut [u8],
        tree: &mut Tree<'_>,
    ) -> Result<u64, VaultError> {
        let number = runs[0].pack as usize;
        let hash = manifest.tables.packs[number].hash;
        let key = manifest.pack_key(number);
        let mut reader = PackReader::new(hash, bytes, self.volume, key)?;
        let mut written = 0;
        while !runs.is_empty() {
            let Some(found) = reader.next_frame()? else {
                let id = object(ObjectKind::Pack, hash);
                return Err(VaultError::damaged(
                    id,
                    "it lacks a frame that a list names",
                ));
            };
            let here = runs.partition_point(|run| run.place.frame() == found.0);
            let (in_frame, rest) = runs.split_at(here);
            runs = rest;
            if in_frame.is_empty() {
                continue;
            }
            self.go_on()?;
            reader.open_frame(found, &mut self.unpacker, frame)?;
            let before = written;
            for run in in_frame {
                written += write_run(run, manifest, &frame[..found.1.plain], tree)?;
            }
            self.observer.done(written - before);
        }
        Ok(written)
    }
}

/// Writes a run of blocks into its file, once their ids are those that the list names.
fn write_run(
    run: &Run,
    manifest: &Manifest,
    frame: &[u8],
    tree: &mut Tree<'_>,
) -> Result<u64, VaultError> {
    let file = &manifest.body.files[run.file as usize];
    let offset = u64::from(run.block) * BLOCK_BYTES as u64;
    let length = (u64::from(run.blocks) * BLOCK_BYTES as u64).min(file.size - offset);
    let start = run.place.block() * BLOCK_BYTES;
    let bytes = usize::try_from(length)
        .ok()
        .and_then(|length| frame.get(start..start + length))
        .filter(|bytes| condense(&manifest.body.id_key, bytes) == run.check)
        .ok_or_else(|| VaultError::Content {
            object: object(
                ObjectKind::Pack,
                manifest.tables.packs[run.pack as usize].hash,
            ),
            path: file.path.clone(),
            start: offset,
            end: offset + length,
        })?;
    tree.write(run.file, bytes, offset)?;
    Ok(length)
}

fn condense(id_key: &IdKey, bytes: &[u8]) -> [u8; 16] {
    let mut check = RunCheck::default();
    for block in bytes.chunks(BLOCK_BYTES) {
        check.add(&id_key.id(block));
    }
    check.finish()
}
