//! Packs into files: each is read once, opened, checked, and its blocks written where they go.
//!
//! It does not know how the plan was made. Several threads work, each on packs of its own.
use std::sync::{
    Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use tokio::task::JoinHandle;

use super::{
    job::Job,
    plan::{Run, object},
    tree::Tree,
};
use model::ErrorKind;

use crate::{
    error::{ObjectKind, VaultError},
    format::{
        block::RunCheck,
        head::{BLOCK_BYTES, FRAME_BLOCKS, FRAME_BYTES},
        manifest::Manifest,
        pack::PackReader,
        part::Unpacker,
        tables::Reached,
    },
    store::direct_io::Aligned,
};

/// Threads of one restore at most.
const THREADS_MAX: usize = 4;
/// Frames that are opened before their blocks are written: runs that go on from one frame to the
/// next become one write of up to 1 MiB.
const FRAMES_STAGED: usize = 4;

/// What becomes of the blocks.
#[derive(Clone, Copy)]
pub(super) enum Into<'a> {
    /// They are written; the first failure ends the work.
    Tree(&'a Tree<'a>),
    /// They are only checked, and so is every other frame of their packs. A pack that fails ends
    /// nothing.
    Nothing(&'a dyn Verdicts),
}

/// Hears how each pack of a check is, by its number in the manifest.
pub(super) trait Verdicts: Sync {
    fn whole(&self, pack: u32);
    fn damaged(&self, pack: u32, error: VaultError);
}

/// Reads every pack that is needed and gives the bytes of the blocks that were good.
pub(super) fn scatter(
    job: &Job<'_>,
    manifest: &Manifest,
    packs: Vec<&[Run]>,
    into: Into<'_>,
) -> Result<u64, VaultError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = Work {
        job,
        manifest,
        into,
        packs,
        next: AtomicUsize::new(0),
        written: AtomicU64::new(0),
        failure: Mutex::new(None),
    };
    std::thread::scope(|threads| -> Result<(), VaultError> {
        let mut started = Vec::new();
        for _ in 0..cores.min(THREADS_MAX).min(work.packs.len()) {
            let thread = std::thread::Builder::new().name("restore".to_owned());
            let thread = thread.spawn_scoped(threads, || {
                if let Err(error) = work.run() {
                    work.fail(error);
                }
            });
            started.push(thread.map_err(|error| {
                work.fail(VaultError::Spent);
                VaultError::Thread(error)
            })?);
        }
        for thread in started {
            thread.join().map_err(|_| VaultError::Panicked)?;
        }
        Ok(())
    })?;
    let failure = work.failure.into_inner();
    match failure.unwrap_or_else(|e| e.into_inner()) {
        Some(error) => Err(error),
        None => Ok(work.written.into_inner()),
    }
}

struct Work<'a> {
    job: &'a Job<'a>,
    manifest: &'a Manifest,
    into: Into<'a>,
    /// The runs of each pack.
    packs: Vec<&'a [Run]>,
    next: AtomicUsize,
    written: AtomicU64,
    failure: Mutex<Option<VaultError>>,
}

type Fetched<'a> = (&'a [Run], JoinHandle<Result<Vec<u8>, VaultError>>);

impl<'a> Work<'a> {
    fn fail(&self, error: VaultError) {
        let mut failure = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        failure.get_or_insert(error);
        self.next.store(self.packs.len(), Ordering::SeqCst);
    }

    fn has_failed(&self) -> bool {
        let failure = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        failure.is_some()
    }

    /// One thread: the next pack is read while one is scattered.
    fn run(&self) -> Result<(), VaultError> {
        let mut unpacker = Unpacker::new();
        let mut staged = Aligned::zeros(FRAMES_STAGED * FRAME_BYTES);
        let mut coming = self.begin(Vec::new());
        let mut spare = Vec::new();
        while let Some((runs, fetched)) = coming.take() {
            let fetched = self
                .job
                .handle
                .block_on(fetched)
                .map_err(VaultError::Task)?;
            coming = self.begin(std::mem::take(&mut spare));
            let result = fetched.and_then(|mut bytes| {
                self.pack(runs, &mut bytes, &mut staged, &mut unpacker)?;
                spare = bytes;
                Ok(())
            });
            match (result, self.into) {
                (Err(error), Into::Nothing(verdicts)) if error.kind() == ErrorKind::Repair => {
                    verdicts.damaged(runs[0].pack, error);
                }
                (Ok(()), Into::Nothing(verdicts)) if !self.has_failed() => {
                    verdicts.whole(runs[0].pack);
                }
                (result, _) => result?,
            }
        }
        Ok(())
    }

    /// Begins to read the next pack into `buffer`.
    fn begin(&self, buffer: Vec<u8>) -> Option<Fetched<'a>> {
        let take = |next: usize| (next < self.packs.len()).then_some(next + 1);
        let number = self
            .next
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        let runs = self.packs[number.ok()?];
        let Reached { hash, size } = self.manifest.tables.packs[runs[0].pack as usize];
        let id = object(ObjectKind::Pack, hash);
        let (vault, listing) = (self.job.vault.clone(), self.job.listing.only(id));
        let fetched = self.job.handle.spawn(async move {
            let bytes = vault.read_whole(id, &listing, buffer).await?;
            if bytes.len() as u64 != size {
                return Err(VaultError::damaged(id, "it does not have its size"));
            }
            Ok(bytes)
        });
        Some((runs, fetched))
    }

    fn pack(
        &self,
        mut runs: &[Run],
        bytes: &mut [u8],
        staged: &mut [u8],
        unpacker: &mut Unpacker,
    ) -> Result<(), VaultError> {
        let number = runs[0].pack as usize;
        let hash = self.manifest.tables.packs[number].hash;
        let key = self.manifest.pack_key(number);
        let mut reader = PackReader::new(hash, bytes, self.job.volume, key)?;
        let (mut stretches, mut frames) = (Vec::<Stretch>::new(), 0);
        let needed_only = matches!(self.into, Into::Tree(_));
        while !(needed_only && runs.is_empty()) {
            let Some(found) = reader.next_frame()? else {
                if runs.is_empty() {
                    break;
                }
                let id = object(ObjectKind::Pack, hash);
                let why = "it lacks a frame that a list names";
                return Err(VaultError::damaged(id, why));
            };
            let here = runs.partition_point(|run| run.place.frame() == found.0);
            let (in_frame, rest) = runs.split_at(here);
            runs = rest;
            if needed_only && in_frame.is_empty() {
                continue;
            }
            self.job.go_on()?;
            if self.has_failed() {
                return Ok(());
            }
            let start = frames * FRAME_BYTES;
            let frame = &mut staged[start..start + FRAME_BYTES];
            reader.open_frame(found, unpacker, frame)?;
            for mut next in check(in_frame, self.manifest, &frame[..found.1.plain])? {
                next.start += start;
                match stretches.last_mut() {
                    Some(last) if last.leads_to(&next) => last.length += next.length,
                    _ => stretches.push(next),
                }
            }
            frames += 1;
            if frames == FRAMES_STAGED || runs.is_empty() {
                self.let_go(&stretches, staged)?;
                stretches.clear();
                frames = 0;
            }
        }
        Ok(())
    }

    /// Lets checked bytes go where they are to go.
    fn let_go(&self, stretches: &[Stretch], staged: &[u8]) -> Result<(), VaultError> {
        for at in stretches {
            if let Into::Tree(tree) = self.into {
                tree.write(at.file, &staged[at.start..at.start + at.length], at.offset)?;
            }
            self.written.fetch_add(at.length as u64, Ordering::Relaxed);
            self.job.observer.done(at.length as u64);
        }
        Ok(())
    }
}

/// Bytes that lie together in memory and in a file.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    file: u32,
    /// Where in the file.
    offset: u64,
    /// Where in memory.
    start: usize,
    length: usize,
}

impl Stretch {
    fn leads_to(&self, next: &Self) -> bool {
        self.file == next.file
            && self.start + self.length == next.start
            && self.offset + self.length as u64 == next.offset
    }
}

/// Checks that the ids of runs of blocks in one frame are those that the list names. Gives where
/// in the frame the bytes of each lie, and where in the file.
fn check(runs: &[Run], manifest: &Manifest, frame: &[u8]) -> Result<Vec<Stretch>, VaultError> {
    let wrong = |run: &Run| {
        let (offset, length) = in_file(run, manifest);
        let hash = manifest.tables.packs[run.pack as usize].hash;
        VaultError::Content {
            object: object(ObjectKind::Pack, hash),
            path: manifest.body.files[run.file as usize].path.clone(),
            start: offset,
            end: offset + length,
        }
    };
    let stretches = runs
        .iter()
        .map(|run| {
            let (offset, length) = in_file(run, manifest);
            let start = run.place.block() * BLOCK_BYTES;
            let length = usize::try_from(length).ok();
            let there = length.filter(|length| start + length <= frame.len());
            Ok(Stretch {
                file: run.file,
                offset,
                start,
                length: there.ok_or_else(|| wrong(run))?,
            })
        })
        .collect::<Result<Vec<_>, VaultError>>()?;
    // All at once: that is faster than run by run.
    let bytes = |at: &Stretch| &frame[at.start..at.start + at.length];
    let blocks = stretches
        .iter()
        .flat_map(|at| bytes(at).chunks(BLOCK_BYTES));
    let mut ids = Vec::with_capacity(FRAME_BLOCKS);
    manifest.body.id_key.ids(blocks, |id| ids.push(id));
    let mut ids = ids.iter();
    for run in runs {
        let mut check = RunCheck::default();
        ids.by_ref()
            .take(usize::from(run.blocks))
            .for_each(|id| check.add(id));
        if check.finish() != run.check {
            return Err(wrong(run));
        }
    }
    Ok(stretches)
}

/// Where in its file a run's bytes begin, and how many they are.
fn in_file(run: &Run, manifest: &Manifest) -> (u64, u64) {
    let offset = u64::from(run.block) * BLOCK_BYTES as u64;
    let size = manifest.body.files[run.file as usize].size;
    let length = (u64::from(run.blocks) * BLOCK_BYTES as u64).min(size - offset);
    (offset, length)
}
