//! The threads that seal packs anew, what they have made, and how that is recorded.
//!
//! It does not know what is in lists and files.
use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use model::Hash;
use tokio::{runtime::Handle, time::Instant};

use super::{
    frames::{PackBlocks, Tools, reencrypt},
    origins::{Mask, Origins},
    request::{Record, Reencrypt},
    target_index::{Inventory, TargetIndex},
};
use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{body::Body, head::VolumeTag, manifest::Manifest, part::Packer, seal::DataKey},
    observer::Observer,
    store::object_source::Objects,
};

/// Packs under way at once: one is read while another is sealed on each of two cores.
const THREADS: usize = 3;
/// Packs made between two records, at least; later an eighth of those that were made, so that
/// all records together stay small beside the packs.
const RECORD_PACKS: usize = 32;
/// A slow copy is recorded this often.
const RECORD_EVERY: Duration = Duration::from_secs(20);

/// A pack of the origin of which something is wanted.
struct Work {
    pack: usize,
    masks: Vec<Mask>,
}

/// What was made and not recorded, and when it was last.
struct Unrecorded {
    packs: usize,
    recorded: usize,
    at: Instant,
}

/// What the threads of one copy share.
pub(super) struct Workers<'a> {
    pub(super) job: Reencrypt<'a>,
    pub(super) from_tag: VolumeTag,
    pub(super) to_tag: VolumeTag,
    observer: &'a dyn Observer,
    record: Record<'a>,
    handle: Handle,
    source: &'a Manifest,
    here: Objects<'a>,
    index: Mutex<TargetIndex>,
    unrecorded: Mutex<Unrecorded>,
    new_bytes: AtomicU64,
    new_objects: AtomicU64,
}

impl<'a> Workers<'a> {
    pub(super) fn new(
        job: Reencrypt<'a>,
        observer: &'a dyn Observer,
        record: Record<'a>,
        handle: Handle,
        source: &'a Manifest,
        here: Objects<'a>,
        index: TargetIndex,
    ) -> Self {
        Self {
            from_tag: VolumeTag::of(job.origin),
            to_tag: VolumeTag::of(job.volume),
            job,
            observer,
            record,
            handle,
            source,
            here,
            index: Mutex::new(index),
            unrecorded: Mutex::new(Unrecorded {
                packs: 0,
                recorded: 0,
                at: Instant::now(),
            }),
            new_bytes: AtomicU64::new(0),
            new_objects: AtomicU64::new(0),
        }
    }

    /// The copy's data key; none when it is not sealed.
    pub(super) fn fresh_key(&self) -> Option<&'a DataKey> {
        self.job.keys.map(|keys| keys.fresh)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, TargetIndex> {
        self.index.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn go_on(&self) -> Result<(), VaultError> {
        if self.observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        Ok(())
    }

    /// Bytes of the origin that need no moving.
    pub(super) fn held(&self, bytes: u64) {
        self.observer.held(bytes);
        self.observer.done(bytes);
    }

    /// Bytes of the origin that were moved, at the pace that is allowed.
    pub(super) fn moved(&self, bytes: u64) -> Result<(), VaultError> {
        if let Some(throttle) = self.job.throttle {
            let count = usize::try_from(bytes).expect("objects are small");
            self.handle.block_on(throttle.pass(count, self.observer))?;
        }
        self.observer.done(bytes);
        Ok(())
    }

    /// Bytes and objects that were written.
    pub(super) fn written(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.new_bytes), read(&self.new_objects))
    }

    /// Writes an object of the target volume. It is durable when this returns. Gives back the
    /// buffer when the store let go of it.
    pub(super) fn put(
        &self,
        kind: ObjectKind,
        hash: Hash,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, VaultError> {
        let (size, bytes) = (bytes.len() as u64, Bytes::from(bytes));
        let put = self
            .job
            .to
            .put_new(self.job.volume, ObjectId { kind, hash }, bytes.clone());
        self.handle.block_on(put)?;
        self.new_bytes.fetch_add(size, Ordering::Relaxed);
        self.new_objects.fetch_add(1, Ordering::Relaxed);
        self.observer.shipped(size, 1);
        Ok(bytes.try_into_mut().map(Vec::from).unwrap_or_default())
    }

    /// Makes the packs that are not there yet.
    pub(super) fn packs(&self, masks: Vec<Vec<Mask>>) -> Result<(), VaultError> {
        let mut works = Vec::new();
        for (pack, mut masks) in masks.into_iter().enumerate() {
            let row = self.source.tables.packs[pack];
            self.index().settle(row.hash, &mut masks);
            if masks.iter().all(|mask| *mask == 0) {
                self.held(row.size);
            } else {
                works.push(Work { pack, masks });
            }
        }
        let (next, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        let slow = self.job.throttle.is_some_and(|throttle| throttle.is_slow());
        let threads = if slow { 1 } else { THREADS.min(works.len()) };
        let outcome = std::thread::scope(|scope| {
            let work = || {
                let done = self.work(&works, &next, &ended);
                if done.is_err() {
                    ended.store(true, Ordering::Relaxed);
                }
                done
            };
            let threads: Vec<_> = (0..threads)
                .map(|_| std::thread::Builder::new().spawn_scoped(scope, work))
                .collect();
            // The first error counts; others follow from it as a rule.
            let mut outcome = Ok(());
            for thread in threads {
                let done = match thread {
                    Ok(thread) => thread.join().unwrap_or(Err(VaultError::Panicked)),
                    Err(source) => Err(VaultError::Thread(source)),
                };
                outcome = outcome.and(done);
            }
            outcome
        });
        if outcome.is_err() {
            // What is there stays there; only the next try is slower when this fails.
            let _ = self.checkpoint(true);
        }
        outcome
    }

    fn work(
        &self,
        works: &[Work],
        next: &AtomicUsize,
        ended: &AtomicBool,
    ) -> Result<(), VaultError> {
        let (mut tools, mut buffer) = (Tools::new(), Vec::new());
        while let Some(work) = works.get(next.fetch_add(1, Ordering::Relaxed)) {
            if ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            buffer = self.read(work.pack, buffer)?;
            self.make(work, &mut buffer, &mut tools)?;
            self.checkpoint(false)?;
        }
        Ok(())
    }

    /// Seals one pack anew and stores what came of it.
    fn make(&self, work: &Work, bytes: &mut [u8], tools: &mut Tools) -> Result<(), VaultError> {
        let origin = self.source.tables.packs[work.pack].hash;
        let key = self.source.pack_key(work.pack);
        let wanted = PackBlocks {
            hash: origin,
            bytes,
            volume: self.from_tag,
            key,
            masks: &work.masks,
        };
        let made = reencrypt(wanted, self.to_tag, self.job.extent, tools)?;
        let count = made.len();
        for mut fresh in made {
            let size = fresh.bytes.len() as u64;
            let bytes = std::mem::take(&mut fresh.bytes);
            tools.buffer = self.put(ObjectKind::Pack, fresh.hash, bytes)?;
            self.index().add_fresh(origin, fresh, size, &work.masks);
        }
        let mut unrecorded = self.unrecorded.lock().unwrap_or_else(|e| e.into_inner());
        unrecorded.packs += count;
        Ok(())
    }

    /// Reads a pack of the origin.
    fn read(&self, pack: usize, buffer: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        let row = self.source.tables.packs[pack];
        let object = ObjectId {
            kind: ObjectKind::Pack,
            hash: row.hash,
        };
        let pace = (self.job.throttle, self.observer);
        let read = self.here.read_paced(object, row.size, buffer, pace);
        self.handle.block_on(read)
    }

    /// Records what was made when it is time, or when some was and it `must` be.
    fn checkpoint(&self, must: bool) -> Result<(), VaultError> {
        let mut unrecorded = self.unrecorded.lock().unwrap_or_else(|e| e.into_inner());
        let Unrecorded {
            packs,
            recorded,
            at,
        } = *unrecorded;
        let due = must || RECORD_PACKS.max(recorded / 8) <= packs || RECORD_EVERY <= at.elapsed();
        if packs == 0 || !due {
            return Ok(());
        }
        let Inventory {
            packs: rows,
            pack_keys,
            pack_uses,
            rows: map,
        } = self.index().made();
        let origins = Origins {
            volume: self.from_tag,
            rows: map,
            lists: Vec::new(),
        };
        let body = Body {
            id_key: self.source.body.id_key.clone(),
            list_keys: Vec::new(),
            pack_keys,
            pack_uses,
            logical_bytes: 0,
            directories: Vec::new(),
            files: Vec::new(),
            engine_document: String::new(),
            torn: Vec::new(),
            origins: origins.to_bytes(),
        };
        let written = Manifest::write(
            self.to_tag,
            self.fresh_key(),
            Vec::new(),
            rows,
            &body,
            &mut Packer::new(),
        );
        let (manifest, bytes) = match written {
            // So large a copy cannot be recorded: what a crash leaves is made again.
            Err(VaultError::TooMany { .. }) => return Ok(()),
            written => written?,
        };
        self.put(ObjectKind::Manifest, manifest, bytes)?;
        if !(self.record)(manifest) {
            return Err(VaultError::Stopped);
        }
        *unrecorded = Unrecorded {
            packs: 0,
            recorded: recorded + packs,
            at: Instant::now(),
        };
        Ok(())
    }
}
