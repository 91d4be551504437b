//! A snapshot from a vault that is reached piece by piece: what is missing here, every byte checked.
//!
//! It does not know how the pieces travel, and believes nothing of what arrives: an object gets
//! its name only when it has the size that the manifest says and the hash that names it.
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Hash, VolumeRef};
use object_store::ObjectStoreExt;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{VolumeTag, bytes_max},
    manifest::Tables,
    observer::Observer,
    shelf::{Condemned, Shelf},
    ship::Shipped,
    store::Vault,
    sweep::header,
    throttle::Throttle,
};

/// The most that is asked for at once, bytes.
pub const PIECE_BYTES_MAX: usize = 4 << 20;
/// Objects on their way at once, each in one buffer of its size.
const STREAMS: usize = 4;

/// A vault that is read in pieces.
pub trait Origin: Sync {
    /// Bytes of an object from `start`: `length` of them, or fewer when the object ends before.
    ///
    /// # Errors
    /// [`VaultError::Link`], [`VaultError::Missing`].
    fn read(
        &self,
        object: ObjectId,
        start: u64,
        length: usize,
    ) -> impl Future<Output = Result<Bytes, VaultError>> + Send;
}

/// What is to be fetched from where.
#[derive(Debug)]
pub struct Fetch<'a, O> {
    /// The vault that holds the snapshot.
    pub from: &'a O,
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

/// Fetches a snapshot: packs and lists first, the manifest when all of them are durable. What
/// arrived whole stays, so a fetch that ended early goes on where it was.
///
/// # Errors
/// [`VaultError::Damaged`] names the object whose bytes are not what they should be;
/// [`VaultError::Stopped`]; the origin's and the store's.
pub async fn fetch<O: Origin>(
    fetch: Fetch<'_, O>,
    observer: &dyn Observer,
) -> Result<Shipped, VaultError> {
    let (to, volume) = (fetch.to, fetch.volume);
    let there = Shelf::list(to, volume, &ObjectKind::ALL, fetch.condemned_there).await?;
    let root = ObjectId {
        kind: ObjectKind::Manifest,
        hash: fetch.manifest,
    };
    let manifest = fetch.manifest(root, &there, observer).await?;
    let tables = Tables::parse(fetch.manifest, &manifest, VolumeTag::of(volume))?;
    let of = |kind| {
        move |row: &crate::manifest::Reached| {
            (
                ObjectId {
                    kind,
                    hash: row.hash,
                },
                row.size,
            )
        }
    };
    let packs = tables.packs.iter().map(of(ObjectKind::Pack));
    let rest = packs.chain(tables.lists.iter().map(of(ObjectKind::List)));
    let (held, missing): (Vec<_>, Vec<_>) = rest.partition(|(id, size)| there.holds(*id, *size));
    let manifest_bytes = manifest.len() as u64;
    let manifest_held = there.holds(root, manifest_bytes);
    let held_bytes = held.iter().map(|(_, size)| size).sum::<u64>()
        + if manifest_held { manifest_bytes } else { 0 };
    let total_bytes = tables.reached_bytes() + manifest_bytes;
    observer.total(total_bytes);
    observer.held(held_bytes);
    observer.done(held_bytes);

    let (objects, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let arrived = |size: u64| {
        objects.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(size, Ordering::Relaxed);
        observer.shipped(size, 1);
    };
    stream::iter(missing)
        .map(async |(object, size)| {
            let whole = fetch.whole(object, size, observer).await?;
            to.put_new(volume, object, whole).await?;
            arrived(size);
            Ok::<_, VaultError>(())
        })
        .buffer_unordered(STREAMS)
        .try_collect::<()>()
        .await?;
    if !manifest_held {
        to.put_new(volume, root, manifest).await?;
        observer.done(manifest_bytes);
        arrived(manifest_bytes);
    }
    Ok(Shipped {
        objects: objects.into_inner(),
        bytes: bytes.into_inner(),
        held_bytes,
        total_bytes,
    })
}

impl<O: Origin> Fetch<'_, O> {
    /// The manifest's bytes, from here when they are here. Its size is only known at its end.
    async fn manifest(
        &self,
        root: ObjectId,
        there: &Shelf,
        observer: &dyn Observer,
    ) -> Result<Bytes, VaultError> {
        if !there.find(root).is_empty()
            && let Ok(bytes) = self.to.read_whole(root, there, Vec::new()).await
        {
            return Ok(bytes.into());
        }
        let mut buffer = Vec::new();
        loop {
            if observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            let piece = self
                .from
                .read(root, buffer.len() as u64, PIECE_BYTES_MAX)
                .await?;
            if PIECE_BYTES_MAX < piece.len() || bytes_max(root.kind) < buffer.len() + piece.len() {
                return Err(VaultError::damaged(
                    root,
                    "it is larger than its kind may be",
                ));
            }
            buffer.extend_from_slice(&piece);
            if piece.len() < PIECE_BYTES_MAX {
                break;
            }
        }
        if blake3::hash(&buffer).as_bytes() != &root.hash.0 {
            return Err(VaultError::damaged(root, "its bytes do not have its hash"));
        }
        Ok(buffer.into())
    }

    /// An object of a known size, piece by piece at the pace that is allowed.
    async fn whole(
        &self,
        object: ObjectId,
        size: u64,
        observer: &dyn Observer,
    ) -> Result<Bytes, VaultError> {
        let most = self.throttle.map_or(PIECE_BYTES_MAX, |throttle| {
            throttle.chunk_bytes(PIECE_BYTES_MAX)
        });
        // The tables were checked: no size is above what its kind may have.
        let size = usize::try_from(size).map_err(|_| VaultError::damaged(object, "its size"))?;
        let mut buffer = Vec::with_capacity(size);
        let mut hasher = blake3::Hasher::new();
        while buffer.len() < size {
            if observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            let length = most.min(size - buffer.len());
            let piece = self.from.read(object, buffer.len() as u64, length).await?;
            if piece.len() != length {
                return Err(VaultError::damaged(object, "it does not have its size"));
            }
            hasher.update(&piece);
            buffer.extend_from_slice(&piece);
            if let Some(throttle) = self.throttle {
                throttle.pass(length, observer).await?;
            }
            observer.done(length as u64);
        }
        if hasher.finalize().as_bytes() != &object.hash.0 {
            return Err(VaultError::damaged(
                object,
                "its bytes do not have its hash",
            ));
        }
        Ok(buffer.into())
    }
}

/// One snapshot's objects, found once, to be read in pieces by someone who may read no others.
#[derive(Debug)]
pub struct Reach {
    vault: Vault,
    shelf: Shelf,
    sizes: HashMap<ObjectId, u64>,
}

impl Reach {
    /// Finds what a manifest reaches. Needs no key.
    ///
    /// # Errors
    /// [`VaultError::Missing`], [`VaultError::Damaged`] and the store's.
    pub async fn open(
        vault: &Vault,
        volume: &VolumeRef,
        manifest: Hash,
        condemned: &Condemned,
    ) -> Result<Self, VaultError> {
        let shelf = Shelf::list(vault, volume, &ObjectKind::ALL, condemned).await?;
        let header = header(vault, volume, manifest, &shelf).await?;
        let root = ObjectId {
            kind: ObjectKind::Manifest,
            hash: manifest,
        };
        let sizes = header.objects().chain([(root, header.manifest_bytes)]);
        Ok(Self {
            vault: vault.clone(),
            sizes: sizes.collect(),
            shelf,
        })
    }

    /// A piece of one object; objects that the manifest does not reach are not there.
    ///
    /// # Errors
    /// [`VaultError::Missing`] and the store's.
    pub async fn read(
        &self,
        object: ObjectId,
        start: u64,
        length: usize,
    ) -> Result<Bytes, VaultError> {
        let size = *self
            .sizes
            .get(&object)
            .ok_or(VaultError::Missing { object })?;
        let end = size.min(start.saturating_add(length.min(PIECE_BYTES_MAX) as u64));
        if end <= start {
            return Ok(Bytes::new());
        }
        let held = self
            .shelf
            .find(object)
            .iter()
            .find(|held| held.size == size);
        let path = &held.ok_or(VaultError::Missing { object })?.path;
        let mut round = 0;
        loop {
            let lane = self.vault.lane().await;
            let error = match self.vault.store().get_range(path, start..end).await {
                Ok(bytes) => return Ok(bytes),
                Err(object_store::Error::NotFound { .. }) => VaultError::Missing { object },
                Err(source) => VaultError::store("read", path, source),
            };
            drop(lane);
            if !self.vault.ask_again(round).await {
                return Err(error);
            }
            round += 1;
        }
    }
}
