//! A snapshot from a vault that is reached piece by piece: what is missing here, every byte checked.
//!
//! It does not know how the pieces travel. An object gets its name when all of it was checked.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Hash, VolumeRef};
use object_store::ObjectStoreExt;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{head::VolumeTag, tables::Tables},
    index::header::header,
    observer::Observer,
    store::{
        listing::VolumeListing,
        names::Condemned,
        remote_reader::{Origin, PIECE_BYTES_MAX, Pieces},
        throttle::Throttle,
        vault::Vault,
    },
    transfer::copy_local::Shipped,
};

/// Objects on their way at once, each in one buffer of its size.
const STREAMS: usize = 4;

/// What is to be fetched from where.
#[derive(Debug)]
pub struct Fetch<'a> {
    /// The vault that holds the snapshot.
    pub from: &'a dyn Origin,
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
pub async fn fetch(fetch: Fetch<'_>, observer: &dyn Observer) -> Result<Shipped, VaultError> {
    let (to, volume) = (fetch.to, fetch.volume);
    let there = VolumeListing::list(to, volume, &ObjectKind::ALL, fetch.condemned_there).await?;
    let root = ObjectId {
        kind: ObjectKind::Manifest,
        hash: fetch.manifest,
    };
    let pieces = Pieces {
        from: fetch.from,
        throttle: fetch.throttle,
        observer,
    };
    let manifest = fetch.manifest(root, &there, pieces).await?;
    let tables = Tables::parse(fetch.manifest, &manifest, VolumeTag::of(volume))?;
    let of = |kind| {
        move |row: &crate::format::tables::Reached| {
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
    // Buffers of objects that arrived: fresh pages cost more than writing to them.
    let spare = Mutex::new(Vec::<Vec<u8>>::new());
    // One after another arrives sooner whole, where all together are slow.
    let slow = fetch.throttle.is_some_and(|throttle| throttle.is_slow());
    stream::iter(missing)
        .map(async |(object, size)| {
            let buffer = spares(&spare).pop().unwrap_or_default();
            let whole = Bytes::from(pieces.whole(object, size, buffer).await?);
            to.put_new(volume, object, whole.clone()).await?;
            if let Ok(buffer) = whole.try_into_mut() {
                spares(&spare).push(Vec::from(buffer));
            }
            arrived(size);
            Ok::<_, VaultError>(())
        })
        .buffer_unordered(if slow { 1 } else { STREAMS })
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

fn spares(spare: &Mutex<Vec<Vec<u8>>>) -> MutexGuard<'_, Vec<Vec<u8>>> {
    spare.lock().unwrap_or_else(|e| e.into_inner())
}

impl Fetch<'_> {
    /// The manifest's bytes, from here when they are here.
    async fn manifest(
        &self,
        root: ObjectId,
        there: &VolumeListing,
        pieces: Pieces<'_>,
    ) -> Result<Bytes, VaultError> {
        if !there.find(root).is_empty()
            && let Ok(bytes) = self.to.read_whole(root, there, Vec::new()).await
        {
            return Ok(bytes.into());
        }
        pieces.manifest(root.hash).await.map(Bytes::from)
    }
}

/// One snapshot's objects, found once, to be read in pieces by someone who may read no others.
#[derive(Debug)]
pub struct Reach {
    vault: Vault,
    listing: VolumeListing,
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
        let listing = VolumeListing::list(vault, volume, &ObjectKind::ALL, condemned).await?;
        let header = header(vault, volume, manifest, &listing).await?;
        let root = ObjectId {
            kind: ObjectKind::Manifest,
            hash: manifest,
        };
        let sizes = header.objects().chain([(root, header.manifest_bytes)]);
        Ok(Self {
            vault: vault.clone(),
            sizes: sizes.collect(),
            listing,
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
            .listing
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
