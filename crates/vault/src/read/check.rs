//! A snapshot's bytes, looked at without being restored: what is damaged, and which bytes of
//! which files that takes with it.
//!
//! It does not know how damage is mended.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use model::{ErrorKind, Hash, VolumeRef};
use tokio::runtime::Handle;

use super::{
    job::Job,
    plan::{self, Plan, Run, object},
    scatter::{Into, Verdicts, scatter},
};
use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        body::{File, Layer},
        head::{BLOCK_BYTES, SEGMENT_BYTES, VolumeTag},
        manifest::Manifest,
        seal::DataKey,
        tables::Reached,
    },
    index::header::header,
    observer::Observer,
    store::{listing::VolumeListing, names::Condemned, vault::Vault},
};

/// Ranges of bytes that are told for one damaged object; what is more is only counted.
const RANGES_MAX: usize = 1_000;

/// What is to be looked at, and how closely.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// The vault.
    pub vault: &'a Vault,
    /// The snapshot's volume.
    pub volume: &'a VolumeRef,
    /// The snapshot.
    pub manifest: Hash,
    /// Its data key. Without it, and unless the volume is not sealed, only the stored hashes are
    /// checked, and damage cannot be traced to files.
    pub data_key: Option<&'a DataKey>,
    /// Whether seals are opened and the ids of blocks compared, as a restore would.
    pub read_data: bool,
    /// Of a hundred packs, about how many are looked at; which ones, their hashes decide.
    pub sample_percent: u8,
    /// Names that count as absent.
    pub condemned: &'a Condemned,
    /// Packs and lists that were found whole before and need no other look; those that are found
    /// whole now are added one by one.
    pub passed: &'a Passed,
}

/// Packs and lists of one volume that were found whole. It grows while a check runs, so that one
/// that ends early can go on where it was.
#[derive(Debug, Default)]
pub struct Passed(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    all: HashSet<Hash>,
    new: Vec<(Hash, u64)>,
}

impl Passed {
    /// What earlier checks found whole.
    pub fn before(known: HashSet<Hash>) -> Self {
        Self(Mutex::new(Known {
            all: known,
            new: Vec::new(),
        }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether an object was found whole.
    pub fn contains(&self, hash: Hash) -> bool {
        self.known().all.contains(&hash)
    }

    fn add(&self, hash: Hash, size: u64) {
        let mut known = self.known();
        if known.all.insert(hash) {
            known.new.push((hash, size));
        }
    }

    /// Those that were found whole since this was last asked, with their sizes in bytes.
    pub fn take_new(&self) -> Vec<(Hash, u64)> {
        std::mem::take(&mut self.known().new)
    }
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that are damaged or gone.
    pub damage: Vec<Damage>,
}

/// An object that is damaged or gone.
#[derive(Debug)]
pub struct Damage {
    /// Which one.
    pub object: ObjectId,
    /// The first rule that is broken.
    pub error: VaultError,
    /// What cannot be read without it, by file and offset; empty when no key was given.
    pub files: Vec<DamagedBytes>,
    /// Ranges beyond those in `files`.
    pub more: u64,
}

/// Bytes of a file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamagedBytes {
    /// The file's path in the snapshot.
    pub path: String,
    /// The first byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

/// Looks at all that a snapshot reaches. Blocks: it belongs on a blocking thread of a tokio
/// runtime. Damage is no error: it is told in the answer, all of it.
///
/// # Errors
/// When the manifest itself cannot be read, with [`VaultError::Missing`] and the like;
/// [`VaultError::WrongKey`]; [`VaultError::Stopped`]; the store's.
pub fn check(what: Check<'_>, observer: &dyn Observer) -> Result<Checked, VaultError> {
    let handle = Handle::try_current().map_err(VaultError::NoRuntime)?;
    let listing = VolumeListing::list(what.vault, what.volume, &ObjectKind::ALL, what.condemned);
    let listing = Arc::new(handle.block_on(listing)?);
    let header = handle.block_on(header(what.vault, what.volume, what.manifest, &listing))?;
    let job = Job {
        vault: what.vault,
        volume: VolumeTag::of(what.volume),
        listing: Arc::clone(&listing),
        handle: handle.clone(),
        observer,
    };
    let manifest = match (header.sealed, what.data_key) {
        (true, None) => None,
        (_, key) => Some(Arc::new(job.manifest(what.manifest, key)?)),
    };
    let wanted: Vec<(ObjectId, u64)> = header
        .objects()
        .filter(|(object, _)| !what.passed.contains(object.hash))
        .filter(|(object, _)| in_sample(*object, what.sample_percent))
        .collect();
    let wanted_bytes: u64 = wanted.iter().map(|(_, size)| size).sum();
    observer.total(header.manifest_bytes + wanted_bytes);
    observer.done(header.manifest_bytes);
    let mut found = Found {
        job: &job,
        passed: what.passed,
        checked: Checked {
            objects: 1,
            bytes: header.manifest_bytes,
            ..Checked::default()
        },
        bad: BTreeMap::new(),
    };
    let (lists, packs): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|(object, _)| object.kind == ObjectKind::List);
    match &manifest {
        Some(manifest) if what.read_data => found.data(manifest, &lists, &packs)?,
        Some(manifest) => {
            found.lists(manifest, &lists)?;
            found.stored(&packs)?;
        }
        None => {
            found.stored(&lists)?;
            found.stored(&packs)?;
        }
    }
    found.trace(manifest)
}

/// Whether an object is looked at: every list, and of the packs the same ones in every run, so
/// that a sample of twenty holds the sample of ten.
pub fn in_sample(object: ObjectId, percent: u8) -> bool {
    let [a, b, ..] = object.hash.0;
    object.kind != ObjectKind::Pack
        || u32::from(u16::from_le_bytes([a, b])) * 100 < u32::from(percent) << 16
}

struct Found<'a> {
    job: &'a Job<'a>,
    passed: &'a Passed,
    checked: Checked,
    bad: BTreeMap<ObjectId, VaultError>,
}

impl Found<'_> {
    /// Checks hashes and sizes as they are stored.
    fn stored(&mut self, objects: &[(ObjectId, u64)]) -> Result<(), VaultError> {
        let mut buffer = Vec::new();
        for (object, size) in objects {
            self.job.go_on()?;
            let read =
                self.job
                    .vault
                    .read_whole(*object, &self.job.listing, std::mem::take(&mut buffer));
            let read = self.job.handle.block_on(read).and_then(|bytes| {
                if bytes.len() as u64 != *size {
                    return Err(VaultError::damaged(*object, "it does not have its size"));
                }
                Ok(bytes)
            });
            match read {
                Ok(bytes) => {
                    buffer = bytes;
                    self.good(*object, *size);
                }
                Err(error) if error.kind() == ErrorKind::Repair => {
                    self.bad.insert(*object, error);
                }
                Err(error) => return Err(error),
            }
            self.job.observer.done(*size);
        }
        Ok(())
    }

    fn good(&mut self, object: ObjectId, size: u64) {
        self.checked.objects += 1;
        self.checked.bytes += size;
        self.passed.add(object.hash, size);
    }

    /// Opens the lists too, and lays them upon each other as a restore would. Those that no file
    /// needs are only read.
    fn lists(
        &mut self,
        manifest: &Arc<Manifest>,
        lists: &[(ObjectId, u64)],
    ) -> Result<Vec<Run>, VaultError> {
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let runs = self.runs(manifest)?;
        let whole: Vec<(ObjectId, u64)> = lists
            .iter()
            .filter(|(object, _)| !self.bad.contains_key(object))
            .copied()
            .collect();
        for (_, size) in lists.iter().filter(|(id, _)| self.bad.contains_key(id)) {
            self.job.observer.done(*size);
        }
        self.stored(&whole)?;
        Ok(runs)
    }

    /// Opens packs and compares their blocks with what the lists say.
    fn data(
        &mut self,
        manifest: &Arc<Manifest>,
        lists: &[(ObjectId, u64)],
        packs: &[(ObjectId, u64)],
    ) -> Result<(), VaultError> {
        let mut runs = self.lists(manifest, lists)?;
        if packs.is_empty() {
            return Ok(());
        }
        if lists.is_empty() {
            runs = self.runs(manifest)?;
        }
        let wanted: HashSet<Hash> = packs.iter().map(|(object, _)| object.hash).collect();
        let groups = runs
            .chunk_by(|a, b| a.pack == b.pack)
            .filter(|runs| wanted.contains(&manifest.tables.packs[runs[0].pack as usize].hash))
            .collect();
        let opened = Opened {
            manifest,
            passed: self.passed,
            observer: self.job.observer,
            seen: Mutex::default(),
        };
        // Told by packs, as everything else in a check, and not by blocks.
        let quiet = Job {
            observer: &Quiet(self.job.observer),
            listing: Arc::clone(&self.job.listing),
            handle: self.job.handle.clone(),
            ..*self.job
        };
        scatter(&quiet, manifest, groups, Into::Nothing(&opened))?;
        let mut seen = opened.seen.into_inner().unwrap_or_else(|e| e.into_inner());
        // What no block of a readable list lies in was not opened.
        let mut unseen = Vec::new();
        for (object, size) in packs {
            match seen.remove(&object.hash) {
                Some(Ok(())) => {
                    self.checked.objects += 1;
                    self.checked.bytes += size;
                }
                Some(Err(error)) => {
                    self.bad.insert(*object, error);
                }
                None => unseen.push((*object, *size)),
            }
        }
        self.stored(&unseen)
    }

    /// The plan of all blocks whose lists can be read.
    fn runs(&mut self, manifest: &Arc<Manifest>) -> Result<Vec<Run>, VaultError> {
        let job = self.job;
        let layers = job.layers(manifest);
        let (mut plan, mut slots) = (Plan::default(), Vec::new());
        for stretch in plan::stretches(manifest) {
            job.go_on()?;
            let file = &manifest.body.files[stretch.file as usize];
            let number = stretch.number as usize;
            let segment = &file.segments[number];
            let planned = layers
                .resolve(file.size, number, segment, &mut slots)
                .and_then(|()| plan.add(stretch, &slots, layers.id(segment.whole.list)));
            match planned {
                Ok(()) => {}
                Err(
                    error @ (VaultError::Damaged { object, .. } | VaultError::Missing { object }),
                ) => {
                    self.bad.entry(object).or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(plan.finish())
    }

    /// Says what each damaged object takes with it.
    fn trace(mut self, manifest: Option<Arc<Manifest>>) -> Result<Checked, VaultError> {
        let mut lost: BTreeMap<ObjectId, Vec<DamagedBytes>> = BTreeMap::new();
        if let (Some(manifest), false) = (&manifest, self.bad.is_empty()) {
            for run in self.runs(manifest)? {
                let id = object(ObjectKind::Pack, pack_hash(manifest, run.pack));
                if self.bad.contains_key(&id) {
                    let file = &manifest.body.files[run.file as usize];
                    let start = u64::from(run.block) * BLOCK_BYTES as u64;
                    let length = u64::from(run.blocks) * BLOCK_BYTES as u64;
                    lost.entry(id).or_default().push(bytes(file, start, length));
                }
            }
            for file in &manifest.body.files {
                for (number, segment) in (0..).zip(&file.segments) {
                    let layers = std::iter::once(&segment.whole).chain(&segment.patches);
                    for id in layers.map(|layer: &Layer| list_id(manifest, layer)) {
                        if self.bad.contains_key(&id) {
                            let start = number * SEGMENT_BYTES;
                            let range = bytes(file, start, SEGMENT_BYTES);
                            lost.entry(id).or_default().push(range);
                        }
                    }
                }
            }
        }
        for (object, error) in self.bad {
            let mut files = joined(lost.remove(&object).unwrap_or_default());
            let more = files.len().saturating_sub(RANGES_MAX) as u64;
            files.truncate(RANGES_MAX);
            self.checked.damage.push(Damage {
                object,
                error,
                files,
                more,
            });
        }
        Ok(self.checked)
    }
}

/// The packs that were opened so far.
struct Opened<'a> {
    manifest: &'a Manifest,
    passed: &'a Passed,
    observer: &'a dyn Observer,
    seen: Mutex<HashMap<Hash, Result<(), VaultError>>>,
}

impl Opened<'_> {
    fn note(&self, pack: u32, result: Result<(), VaultError>) {
        let Reached { hash, size } = self.manifest.tables.packs[pack as usize];
        if result.is_ok() {
            self.passed.add(hash, size);
        }
        self.observer.done(size);
        let mut seen = self.seen.lock().unwrap_or_else(|e| e.into_inner());
        seen.insert(hash, result);
    }
}

impl Verdicts for Opened<'_> {
    fn whole(&self, pack: u32) {
        self.note(pack, Ok(()));
    }
    fn damaged(&self, pack: u32, error: VaultError) {
        self.note(pack, Err(error));
    }
}

fn pack_hash(manifest: &Manifest, pack: u32) -> Hash {
    let Reached { hash, .. } = manifest.tables.packs[pack as usize];
    hash
}

fn list_id(manifest: &Manifest, layer: &Layer) -> ObjectId {
    let Reached { hash, .. } = manifest.tables.lists[layer.list as usize];
    object(ObjectKind::List, hash)
}

fn bytes(file: &File, start: u64, length: u64) -> DamagedBytes {
    DamagedBytes {
        path: file.path.clone(),
        start,
        end: (start + length).min(file.size),
    }
}

/// Puts ranges together that touch each other.
fn joined(mut ranges: Vec<DamagedBytes>) -> Vec<DamagedBytes> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let touch = next.path == before.path && next.start <= before.end;
        if touch {
            before.end = before.end.max(next.end);
        }
        touch
    });
    ranges
}

/// Passes on only the wish to stop.
struct Quiet<'a>(&'a dyn Observer);

impl Observer for Quiet<'_> {
    fn total(&self, _bytes: u64) {}
    fn done(&self, _bytes: u64) {}
    fn shipped(&self, _bytes: u64, _objects: u64) {}
    fn held(&self, _bytes: u64) {}
    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}
