//! A snapshot to another vault: its objects as they lie, those that are not there yet.
//!
//! It does not know any key, nor what the objects say beyond the manifest's clear header, nor how
//! pieces of another deployment's vault travel. An object gets its name when all of it was checked.
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Hash, Timestamp, VolumeRef};
use object_store::{ObjectStoreExt, path::Path};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    index::header::{Header, header},
    observer::Observer,
    store::{
        bucket_place,
        listing::VolumeListing,
        names::{Condemned, ObjectName, ObjectVersion},
        object_reader::ObjectReader,
        remote_reader::Pieces,
        throttle::Throttle,
        vault::Vault,
    },
    transfer::read_from::ReadFrom,
};

/// Objects on their way through here at once. Each has a buffer of its own size, 16 MiB at most
/// but for manifests, so this also bounds the memory.
const STREAMS: usize = 3;
/// The same over a link, whose answers take their time.
const LINK_STREAMS: usize = 4;
/// Objects that a store copies by itself at once: each waits for three answers, and has no buffer.
const COPIES: usize = 16;

/// What is to be copied where.
#[derive(Debug, Clone, Copy)]
pub struct CopyJob<'a> {
    /// The vault that holds the snapshot.
    pub from: ReadFrom<'a>,
    /// The vault that is to hold it.
    pub to: &'a Vault,
    /// The volume, which has the same path in both.
    pub volume: &'a VolumeRef,
    /// The snapshot.
    pub manifest: Hash,
    /// Names in the target vault that count as absent.
    pub condemned_there: &'a Condemned,
    /// What all copies into the target's region share.
    pub throttle: Option<&'a Arc<Throttle>>,
}

/// What a copy moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Objects that were written, the manifest included.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that the target held already.
    pub held_bytes: u64,
    /// Bytes of all that the snapshot reaches, itself included.
    pub total_bytes: u64,
}

/// Copies a snapshot: packs and lists first, the manifest when all of them are durable. The
/// observer's total is all that the snapshot reaches.
///
/// Every object's hash is checked before it gets its name in the target. What arrived whole
/// stays, so a copy that ended early goes on where it was.
///
/// # Errors
/// [`VaultError::Missing`] and [`VaultError::Damaged`] name the object of the source;
/// [`VaultError::Stopped`]; those of both stores and of the link.
pub async fn copy(job: CopyJob<'_>, observer: &dyn Observer) -> Result<Copied, VaultError> {
    let kinds = &ObjectKind::ALL;
    let there = VolumeListing::list(job.to, job.volume, kinds, job.condemned_there).await?;
    let (source, header) = Source::open(job, &there, observer).await?;
    let root = ObjectId {
        kind: ObjectKind::Manifest,
        hash: job.manifest,
    };
    let whole = header.objects().chain([(root, header.manifest_bytes)]);
    let (held, missing): (Vec<_>, Vec<_>) = whole.partition(|(id, size)| there.holds(*id, *size));
    let held_bytes = held.iter().map(|(_, size)| size).sum();
    observer.total(header.total_bytes);
    observer.held(held_bytes);
    observer.done(held_bytes);

    let at_once = source.at_once(job.throttle);
    let copier = Copier {
        job,
        buffers: Semaphore::new(source.streams()),
        source,
        observer,
        objects: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        spare: Mutex::default(),
    };
    let (last, rest): (Vec<_>, Vec<_>) = missing.into_iter().partition(|(id, _)| *id == root);
    stream::iter(rest)
        .map(|(id, size)| copier.carry(id, size))
        .buffer_unordered(at_once)
        .try_collect::<()>()
        .await?;
    for (id, size) in last {
        copier.carry(id, size).await?;
    }
    Ok(Copied {
        objects: copier.objects.into_inner(),
        bytes: copier.bytes.into_inner(),
        held_bytes,
        total_bytes: header.total_bytes,
    })
}

/// Where the objects are.
enum Source<'a> {
    /// In a vault at hand.
    Here(ObjectReader<'a>, VolumeListing),
    /// In another deployment's, of which the manifest has come already.
    There(Pieces<'a>, Bytes),
}

impl<'a> Source<'a> {
    /// Finds what there is, and what the snapshot reaches of it.
    async fn open(
        job: CopyJob<'a>,
        there: &VolumeListing,
        observer: &'a dyn Observer,
    ) -> Result<(Self, Header), VaultError> {
        let CopyJob {
            volume,
            manifest,
            throttle,
            ..
        } = job;
        match job.from {
            ReadFrom::Vault(vault, condemned) => {
                let kinds = &ObjectKind::ALL;
                let listing = VolumeListing::list(vault, volume, kinds, condemned).await?;
                let header = header(vault, volume, manifest, &listing).await?;
                let reader = ObjectReader {
                    vault,
                    throttle,
                    observer,
                };
                Ok((Self::Here(reader, listing), header))
            }
            ReadFrom::Link(from) => {
                let pieces = Pieces {
                    from,
                    throttle,
                    observer,
                };
                let bytes = match held_manifest(job, there).await {
                    Some(bytes) => bytes,
                    None => pieces.manifest(manifest).await?,
                };
                let header = Header::parse(volume, manifest, &bytes)?;
                Ok((Self::There(pieces, bytes.into()), header))
            }
        }
    }

    /// Objects that may lie in memory at once.
    fn streams(&self) -> usize {
        match self {
            Self::Here(..) => STREAMS,
            Self::There(..) => LINK_STREAMS,
        }
    }

    /// Objects under way at once. One after another arrives sooner whole, where all together are
    /// slow.
    fn at_once(&self, throttle: Option<&Arc<Throttle>>) -> usize {
        match (self, throttle) {
            (_, Some(throttle)) if throttle.is_slow() => 1,
            (Self::Here(..), None) => COPIES,
            _ => self.streams(),
        }
    }

    async fn read(
        &self,
        object: ObjectId,
        size: u64,
        buffer: Vec<u8>,
    ) -> Result<Bytes, VaultError> {
        match self {
            Self::Here(reader, listing) => {
                let read = reader.read(object, size, listing, buffer).await;
                read.map(Bytes::from)
            }
            Self::There(pieces, manifest) if object.kind == ObjectKind::Manifest => {
                pieces.observer.done(size);
                Ok(manifest.clone())
            }
            Self::There(pieces, _) => {
                let read = pieces.whole(object, size, buffer).await;
                read.map(Bytes::from)
            }
        }
    }
}

/// The manifest's bytes, when the target has them already.
async fn held_manifest(job: CopyJob<'_>, there: &VolumeListing) -> Option<Vec<u8>> {
    let root = ObjectId {
        kind: ObjectKind::Manifest,
        hash: job.manifest,
    };
    if there.find(root).is_empty() {
        return None;
    }
    job.to.read_whole(root, there, Vec::new()).await.ok()
}

struct Copier<'a> {
    job: CopyJob<'a>,
    source: Source<'a>,
    observer: &'a dyn Observer,
    /// What was written.
    objects: AtomicU64,
    bytes: AtomicU64,
    /// Buffers of objects that arrived: fresh pages cost more than writing to them.
    spare: Mutex<Vec<Vec<u8>>>,
    /// One for each object that may lie in memory.
    buffers: Semaphore,
}

impl Copier<'_> {
    fn spares(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn buffer(&self) -> SemaphorePermit<'_> {
        let turn = self.buffers.acquire().await;
        turn.expect("nobody closes it")
    }

    /// Carries one object over: by the store itself where it can, else through here.
    async fn carry(&self, object: ObjectId, size: u64) -> Result<(), VaultError> {
        if !self.copy_inside(object, size).await? {
            let _buffer = self.buffer().await;
            let spare = self.spares().pop().unwrap_or_default();
            let bytes = self.source.read(object, size, spare).await?;
            let CopyJob { to, volume, .. } = self.job;
            to.put_new(volume, object, bytes.clone()).await?;
            if let Ok(buffer) = bytes.try_into_mut() {
                self.spares().push(Vec::from(buffer));
            }
        }
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.observer.shipped(size, 1);
        Ok(())
    }

    /// Lets the store copy it, when both vaults lie in one bucket and no limit is set on the flow.
    async fn copy_inside(&self, object: ObjectId, size: u64) -> Result<bool, VaultError> {
        let (Source::Here(reader, listing), None) = (&self.source, self.job.throttle) else {
            return Ok(false);
        };
        let places = reader.vault.place().zip(self.job.to.place());
        let Some((here, there)) = places.filter(|(here, there)| here.is_with(there)) else {
            return Ok(false);
        };
        let listing = listing.holding(reader.vault, object).await?;
        for held in listing.find(object) {
            if self.observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            let target = ObjectName::fresh(object).path(self.job.volume);
            let copied = bucket_place::copy((here, held), there, size, &target).await?;
            let is_whole = match copied {
                bucket_place::Copied::Whole => true,
                bucket_place::Copied::Unlike => {
                    let _buffer = self.buffer().await;
                    is_whole(self.job.to, object, size, &target).await?
                }
                bucket_place::Copied::Not => false,
            };
            if is_whole {
                self.observer.done(size);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a copy has the bytes that its name says. One that has not is removed.
async fn is_whole(
    vault: &Vault,
    object: ObjectId,
    size: u64,
    target: &Path,
) -> Result<bool, VaultError> {
    let version = ObjectVersion {
        path: target.clone(),
        size,
        modified: Timestamp(0),
    };
    let copied = VolumeListing::of(object, version);
    match vault.read_whole(object, &copied, Vec::new()).await {
        Ok(_) => Ok(true),
        Err(VaultError::Missing { .. } | VaultError::Damaged { .. }) => {
            // What stays is the sweep's: it is in no record, and readers check hashes.
            let _ = vault.store().delete(target).await;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
