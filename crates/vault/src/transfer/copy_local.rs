//! A snapshot to another vault: its objects as they lie, those that are not there yet.
//!
//! It does not know any key, nor what the objects say beyond the manifest's clear header.
use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Hash, Timestamp, VolumeRef};
use object_store::{ObjectStoreExt, path::Path};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    index::header::header,
    observer::Observer,
    store::{
        bucket_place::{self, Copied},
        listing::VolumeListing,
        names::{Condemned, ObjectName, ObjectVersion},
        object_reader::ObjectReader,
        throttle::Throttle,
        vault::Vault,
    },
};

/// Objects on their way through here at once. Each has a buffer of its own size, 16 MiB at most
/// but for manifests, so this also bounds the memory.
const STREAMS: usize = 3;
/// Objects that a store copies by itself at once: each waits for three answers, and has no buffer.
const COPIES: usize = 16;

/// What is to be shipped where.
#[derive(Debug, Clone, Copy)]
pub struct Shipment<'a> {
    /// The vault that holds the snapshot.
    pub from: &'a Vault,
    /// The vault that is to hold it.
    pub to: &'a Vault,
    /// The volume, which has the same path in both.
    pub volume: &'a VolumeRef,
    /// The snapshot.
    pub manifest: Hash,
    /// Names in the source vault that count as absent.
    pub condemned_here: &'a Condemned,
    /// Names in the target vault that count as absent.
    pub condemned_there: &'a Condemned,
    /// What all copies into the target's region share.
    pub throttle: Option<&'a Arc<Throttle>>,
}

/// What a shipment moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Objects that were written, the manifest included.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that the target held already.
    pub held_bytes: u64,
    /// Bytes of all that the snapshot reaches, itself included.
    pub total_bytes: u64,
}

/// Ships a snapshot: packs and lists first, the manifest when all of them are durable. The
/// observer's total is all that the snapshot reaches.
///
/// Every object's hash is checked before it gets its name in the target. What arrived whole
/// stays, so a shipment that ended early goes on where it was.
///
/// # Errors
/// [`VaultError::Missing`] and [`VaultError::Damaged`] name the object of the source;
/// [`VaultError::Stopped`]; those of both stores.
pub async fn ship(shipment: Shipment<'_>, observer: &dyn Observer) -> Result<Shipped, VaultError> {
    let Shipment {
        from,
        to,
        volume,
        manifest,
        ..
    } = shipment;
    let kinds = &ObjectKind::ALL;
    let here = VolumeListing::list(from, volume, kinds, shipment.condemned_here).await?;
    let header = header(from, volume, manifest, &here).await?;
    let there = VolumeListing::list(to, volume, kinds, shipment.condemned_there).await?;
    let root = ObjectId {
        kind: ObjectKind::Manifest,
        hash: manifest,
    };
    let whole = header.objects().chain([(root, header.manifest_bytes)]);
    let (held, missing): (Vec<_>, Vec<_>) = whole.partition(|(id, size)| there.holds(*id, *size));
    let held_bytes = held.iter().map(|(_, size)| size).sum();
    observer.total(header.total_bytes);
    observer.held(held_bytes);
    observer.done(held_bytes);

    let tally = Tally::default();
    let ferry = Ferry {
        shipment,
        here: &here,
        observer,
        tally: &tally,
        spare: Mutex::default(),
        buffers: Semaphore::new(STREAMS),
    };
    let at_once = match shipment.throttle {
        None => COPIES,
        Some(throttle) if throttle.is_slow() => 1,
        Some(_) => STREAMS,
    };
    let (last, rest): (Vec<_>, Vec<_>) = missing.into_iter().partition(|(id, _)| *id == root);
    stream::iter(rest)
        .map(|(id, size)| ferry.carry(id, size))
        .buffer_unordered(at_once)
        .try_collect::<()>()
        .await?;
    for (id, size) in last {
        ferry.carry(id, size).await?;
    }
    Ok(Shipped {
        objects: tally.objects.load(Ordering::Relaxed),
        bytes: tally.bytes.load(Ordering::Relaxed),
        held_bytes,
        total_bytes: header.total_bytes,
    })
}

#[derive(Debug, Default)]
struct Tally {
    objects: AtomicU64,
    bytes: AtomicU64,
}

struct Ferry<'a> {
    shipment: Shipment<'a>,
    here: &'a VolumeListing,
    observer: &'a dyn Observer,
    tally: &'a Tally,
    /// Buffers of objects that arrived: fresh pages cost more than writing to them.
    spare: Mutex<Vec<Vec<u8>>>,
    /// One for each object that may lie in memory.
    buffers: Semaphore,
}

impl Ferry<'_> {
    fn spares(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(|e| e.into_inner())
    }

    async fn buffer(&self) -> SemaphorePermit<'_> {
        let turn = self.buffers.acquire().await;
        turn.expect("nobody closes it")
    }

    /// Carries one object over: by the store itself where it can, else through here.
    async fn carry(&self, object: ObjectId, size: u64) -> Result<(), VaultError> {
        let Shipment {
            from,
            to,
            volume,
            throttle,
            ..
        } = self.shipment;
        let here = self.here.holding(from, object).await?;
        for held in here.find(object) {
            if self.copy_there(object, held, size).await? {
                return Ok(());
            }
        }
        let _buffer = self.buffer().await;
        let reader = ObjectReader {
            vault: from,
            throttle,
            observer: self.observer,
        };
        let spare = self.spares().pop().unwrap_or_default();
        let bytes = Bytes::from(reader.read(object, size, here, spare).await?);
        to.put_new(volume, object, bytes.clone()).await?;
        if let Ok(buffer) = bytes.try_into_mut() {
            self.spares().push(Vec::from(buffer));
        }
        self.tally.objects.fetch_add(1, Ordering::Relaxed);
        self.tally.bytes.fetch_add(size, Ordering::Relaxed);
        self.observer.shipped(size, 1);
        Ok(())
    }

    /// Lets the store copy it, when both vaults lie in one bucket and no limit is set on the flow.
    async fn copy_there(
        &self,
        object: ObjectId,
        held: &ObjectVersion,
        size: u64,
    ) -> Result<bool, VaultError> {
        let Shipment {
            from,
            to,
            volume,
            throttle: None,
            ..
        } = self.shipment
        else {
            return Ok(false);
        };
        let places = from.place().zip(to.place());
        let Some((here, there)) = places.filter(|(here, there)| here.is_with(there)) else {
            return Ok(false);
        };
        if self.observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        let target = ObjectName::fresh(object).path(volume);
        let copied = bucket_place::copy((here, held), there, size, &target).await?;
        let is_whole = match copied {
            Copied::Whole => true,
            Copied::Unlike => {
                let _buffer = self.buffer().await;
                is_whole(to, object, size, &target).await?
            }
            Copied::Not => false,
        };
        if !is_whole {
            return Ok(false);
        }
        self.tally.objects.fetch_add(1, Ordering::Relaxed);
        self.tally.bytes.fetch_add(size, Ordering::Relaxed);
        self.observer.done(size);
        self.observer.shipped(size, 1);
        Ok(true)
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
