//! A snapshot to another volume under fresh keys: its live frames are opened and sealed as they
//! were compressed, its lists rewritten, its manifest sealed under another data key.
//!
//! It does not know whose keys they are. Argued in docs/decisions/0009-re-encryption.md.
pub(crate) mod frames;
mod live_blocks;
mod origins;
mod request;
mod target_index;
mod workers;

use std::sync::Arc;

use model::{Account, ErrorKind, Hash, Region, VolumeRef};
use tokio::runtime::Handle;

use crate::{
    error::{ObjectKind, VaultError},
    format::{
        body::{Body, File},
        head::VolumeTag,
        list::ListDraft,
        manifest::Manifest,
        part::{Packer, Unpacker},
        seal::{DataKey, ObjectKey},
        tables::Reached,
    },
    index::block_map::Layers,
    observer::Observer,
    store::{listing::VolumeListing, object_source::Objects},
    transfer::read_from::ReadFrom,
};
pub use frames::Extent;
use origins::Origins;
pub use request::{Record, Reencrypt, ReencryptKeys};
use target_index::{Inventory, TargetIndex};
use workers::Workers;

/// A copy that is whole and durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resealed {
    /// Its manifest's hash: its root hash.
    pub manifest: Hash,
    /// Bytes of its files.
    pub logical_bytes: u64,
    /// Bytes of all that it reaches, the manifest included.
    pub stored_bytes: u64,
    /// Bytes that were written for it in this try.
    pub new_bytes: u64,
    /// Objects that were written for it in this try.
    pub new_objects: u64,
    /// Whether the base could not be used.
    pub base_lost: bool,
}

/// Copies a snapshot into another volume under fresh keys: packs first, then lists, then the
/// manifest. Blocks: it belongs on a blocking thread of a tokio runtime.
///
/// From time to time, and when it ends early, it writes a manifest of what it made so far and
/// calls `record`; another try goes on from that one. Every object's hash is checked when it is
/// read, and every frame's seal.
///
/// Memory: three threads, each with a pack that is read and one that is made; and for each frame
/// of the snapshot four bytes.
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`] and [`VaultError::WrongKey`] name the object
/// of the origin; [`VaultError::Sealing`] when it is sealed and no keys are given, or the other
/// way round; [`VaultError::Stopped`]; those of both stores and of the link.
pub fn reencrypt(
    job: Reencrypt<'_>,
    observer: &dyn Observer,
    record: Record<'_>,
) -> Result<Resealed, VaultError> {
    let handle = Handle::try_current().map_err(VaultError::NoRuntime)?;
    let origin = job.origin;
    let here = match job.from {
        ReadFrom::Link(link) => Objects::There(link),
        ReadFrom::Vault(vault, condemned) => {
            let listing = VolumeListing::list(vault, origin, &ObjectKind::ALL, condemned);
            Objects::Here(vault.clone(), Arc::new(handle.block_on(listing)?))
        }
    };
    let old_key = job.keys.map(|keys| keys.old);
    let source = read_manifest(&handle, (&here, origin), job.manifest, old_key)?;
    let source = Arc::new(source);
    observer.total(source.tables.reached_bytes());
    let listing = VolumeListing::list(job.to, job.volume, &ObjectKind::ALL, job.condemned_there);
    let there = handle.block_on(listing)?;
    let (index, base_lost) = learn(&job, &handle, there)?;

    let tag = VolumeTag::of(origin);
    let (objects, source_) = (here.clone(), Arc::clone(&source));
    let layers = Layers::new(objects, tag, handle.clone(), source_);
    let masks = live_blocks::live_blocks(&layers, observer)?;
    let shop = Workers::new(job, observer, record, handle, &source, here, index);
    shop.packs(masks)?;
    let copy = Copy {
        shop,
        layers: &layers,
        source: &source,
    };
    let mut resealed = copy.finish()?;
    resealed.base_lost = base_lost;
    Ok(resealed)
}

/// The volume of an account's copies of a volume under one KMS key: always the same one, so that
/// the next copy finds the one before, and no other key's.
pub fn volume_reencrypted(
    region: &Region,
    account: &Account,
    origin: &VolumeRef,
    key: &str,
) -> VolumeRef {
    let text = format!("{region}/{account}/{origin}/{key}");
    let context = "snapferry vault volume sealed anew, format 1";
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::derive_key(context, text.as_bytes())[..16]);
    // A UUID of version 8: its bits are the maker's own.
    (id[6], id[8]) = (id[6] & 0x0f | 0x80, id[8] & 0x3f | 0x80);
    let id = data_encoding::HEXLOWER.encode(&id);
    VolumeRef {
        origin: region.clone(),
        account: account.clone(),
        id: id.parse().expect("32 hexadecimal digits are a UUID"),
    }
}

fn read_manifest(
    handle: &Handle,
    (objects, volume): (&Objects<'_>, &VolumeRef),
    hash: Hash,
    key: Option<&DataKey>,
) -> Result<Manifest, VaultError> {
    let mut bytes = handle.block_on(objects.manifest(hash))?;
    let tag = VolumeTag::of(volume);
    Manifest::read(hash, &mut bytes, tag, key, &mut Unpacker::new())
}

/// What is at the target already; and whether the base could not be used, which costs time and
/// space, not the copy.
fn learn(
    job: &Reencrypt<'_>,
    handle: &Handle,
    there: VolumeListing,
) -> Result<(TargetIndex, bool), VaultError> {
    let mut index = TargetIndex::default();
    let from = VolumeTag::of(job.origin);
    let listing = Arc::new(there);
    let objects = Objects::Here(job.to.clone(), Arc::clone(&listing));
    let mut learn = |hash, key, own| {
        match read_manifest(handle, (&objects, job.volume), hash, key) {
            Ok(manifest) => index.learn(&manifest, from, &listing, own),
            Err(e) if matches!(e.kind(), ErrorKind::Repair | ErrorKind::Refuse) => return Ok(true),
            Err(error) => return Err(error),
        }
        Ok(false)
    };
    let mut base_lost = false;
    if let Some(base) = job.base {
        base_lost = base.data_key.is_some() != job.keys.is_some()
            || learn(base.manifest, base.data_key.as_ref(), false)?;
    }
    if let Some(checkpoint) = job.checkpoint {
        learn(checkpoint, job.keys.map(|keys| keys.fresh), true)?;
    }
    Ok((index, base_lost))
}

/// The last part of a copy, once its packs are there.
struct Copy<'a> {
    shop: Workers<'a>,
    layers: &'a Layers<'a>,
    source: &'a Manifest,
}

impl Copy<'_> {
    fn finish(self) -> Result<Resealed, VaultError> {
        let mut packer = Packer::new();
        let (mut lists, mut list_keys, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        let count = u32::try_from(self.source.tables.lists.len()).expect("it has 32 bits there");
        for number in 0..count {
            let (digest, reached, key) = self.list(number, &mut packer)?;
            digests.push(digest);
            lists.push(reached);
            list_keys.extend(key);
        }
        let Inventory {
            packs,
            pack_keys,
            pack_uses,
            rows,
        } = self.shop.index().whole();
        let origins = Origins {
            volume: self.shop.from_tag,
            rows,
            lists: digests,
        };
        let body = &self.source.body;
        // A change token is about files that no cluster of this volume has.
        let files = body.files.iter().map(|file| File {
            change_token: None,
            ..file.clone()
        });
        let mut body = Body {
            id_key: body.id_key.clone(),
            list_keys,
            pack_keys,
            pack_uses,
            logical_bytes: body.logical_bytes,
            directories: body.directories.clone(),
            files: files.collect(),
            engine_document: body.engine_document.clone(),
            torn: body.torn.clone(),
            origins: origins.to_bytes(),
        };
        let reached = lists.iter().chain(&packs).map(|row| row.size).sum::<u64>();
        let (tag, key) = (self.shop.to_tag, self.shop.fresh_key());
        let mut write = |body: &Body| {
            let (lists, packs) = (lists.clone(), packs.clone());
            Manifest::write(tag, key, lists, packs, body, &mut packer)
        };
        let (manifest, bytes) = match write(&body) {
            // Without the map the next copy moves everything again, but this one can be.
            Err(VaultError::TooMany { .. }) => {
                body.origins.clear();
                write(&body)?
            }
            written => written?,
        };
        let stored_bytes = reached + bytes.len() as u64;
        self.shop.put(ObjectKind::Manifest, manifest, bytes)?;
        let (new_bytes, new_objects) = self.shop.written();
        Ok(Resealed {
            manifest,
            logical_bytes: body.logical_bytes,
            stored_bytes,
            new_bytes,
            new_objects,
            base_lost: false,
        })
    }

    /// One list of the origin with the places of the target: one that is there already, or a new one.
    fn list(
        &self,
        number: u32,
        packer: &mut Packer,
    ) -> Result<([u8; 32], Reached, Option<ObjectKey>), VaultError> {
        self.shop.go_on()?;
        let size = self.source.tables.lists[number as usize].size;
        let list = self.layers.list(number)?;
        let (plain, digest, known) = {
            let mut index = self.shop.index();
            let plain = index.rewrite(&list.list);
            let digest = *blake3::hash(&plain).as_bytes();
            let known = index.take_list(&digest);
            (plain, digest, known)
        };
        if let Some((reached, key)) = known {
            self.shop.held(size);
            return Ok((digest, reached, key));
        }
        let sealed = self.shop.fresh_key().is_some();
        let (hash, key, bytes) = ListDraft::seal(&plain, self.shop.to_tag, sealed, packer);
        let reached = Reached {
            hash,
            size: bytes.len() as u64,
        };
        self.shop.put(ObjectKind::List, hash, bytes)?;
        self.shop.moved(size)?;
        Ok((digest, reached, sealed.then_some(key)))
    }
}
