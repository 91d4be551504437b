//! What is in a vault, what manifests reach, whether it is whole, and removing what is not reached.
//!
//! It does not know which manifests are live, nor what is condemned: the catalog does. It needs
//! no key for anything.
use std::collections::HashSet;

use model::{Hash, Timestamp, VolumeId, VolumeRef};
use object_store::{ObjectStoreExt, path::Path};

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::VolumeTag,
    manifest::Tables,
    observer::Observer,
    shelf::{Condemned, Shelf, VOLUMES},
    store::Vault,
};

/// The clear part of a manifest: all that the snapshot reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whether a data key is needed to read the rest.
    pub sealed: bool,
    /// Hash and size in bytes of each block list.
    pub lists: Vec<(Hash, u64)>,
    /// Hash and size in bytes of each pack.
    pub packs: Vec<(Hash, u64)>,
    /// The manifest's own size, bytes.
    pub manifest_bytes: u64,
    /// Bytes of lists, packs and the manifest.
    pub total_bytes: u64,
}

/// Reads what a snapshot reaches, without any key; the manifest's hash is checked.
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`] and the store's.
pub async fn read_header(
    vault: &Vault,
    volume: &VolumeRef,
    manifest: Hash,
    condemned: &Condemned,
) -> Result<Header, VaultError> {
    let shelf = Shelf::list(vault, volume, &[ObjectKind::Manifest], condemned).await?;
    header(vault, volume, manifest, &shelf).await
}

pub(crate) async fn header(
    vault: &Vault,
    volume: &VolumeRef,
    manifest: Hash,
    shelf: &Shelf,
) -> Result<Header, VaultError> {
    let object = ObjectId {
        kind: ObjectKind::Manifest,
        hash: manifest,
    };
    let bytes = vault.read_whole(object, shelf, Vec::new()).await?;
    let tables = Tables::parse(manifest, &bytes, VolumeTag::of(volume))?;
    let rows = |rows: &[crate::manifest::Reached]| rows.iter().map(|r| (r.hash, r.size)).collect();
    Ok(Header {
        sealed: tables.head.sealed,
        total_bytes: tables.reached_bytes() + bytes.len() as u64,
        lists: rows(&tables.lists),
        packs: rows(&tables.packs),
        manifest_bytes: bytes.len() as u64,
    })
}

impl Header {
    /// Packs, then lists, with their sizes in bytes: all but the manifest, in the order in which
    /// they are written.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, u64)> + '_ {
        let of = |kind| move |&(hash, size): &(Hash, u64)| (ObjectId { kind, hash }, size);
        let packs = self.packs.iter().map(of(ObjectKind::Pack));
        packs.chain(self.lists.iter().map(of(ObjectKind::List)))
    }
}

/// One incarnation of an object in a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Its full path in the vault: the name that is condemned and deleted.
    pub path: String,
    /// What it is.
    pub kind: ObjectKind,
    /// The hash that its name claims.
    pub hash: Hash,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

/// Every incarnation of every object in a volume, condemned ones included.
///
/// # Errors
/// The store's.
pub async fn objects(vault: &Vault, volume: &VolumeRef) -> Result<Vec<ObjectEntry>, VaultError> {
    let shelf = Shelf::list(vault, volume, &ObjectKind::ALL, &Condemned::new()).await?;
    let mut entries: Vec<ObjectEntry> = shelf
        .into_all()
        .map(|(object, held)| ObjectEntry {
            path: held.path.to_string(),
            kind: object.kind,
            hash: object.hash,
            size: held.size,
            modified: held.modified,
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// The manifests in a volume, by the hashes that their names claim.
///
/// # Errors
/// The store's.
pub async fn manifests(vault: &Vault, volume: &VolumeRef) -> Result<HashSet<Hash>, VaultError> {
    let shelf = Shelf::list(vault, volume, &[ObjectKind::Manifest], &Condemned::new()).await?;
    Ok(shelf.into_all().map(|(object, _)| object.hash).collect())
}

/// Every volume that has a folder in the vault.
///
/// # Errors
/// The store's.
pub async fn volumes(vault: &Vault) -> Result<Vec<VolumeRef>, VaultError> {
    let mut found = Vec::new();
    for origin in vault.folders(&Path::from(VOLUMES)).await? {
        for account in vault.folders(&origin).await? {
            for id in vault.folders(&account).await? {
                let named = (name(&origin), name(&account), name(&id));
                // A folder of another shape is not ours.
                if let (Some(origin), Some(account), Some(id)) = named {
                    found.push(VolumeRef {
                        origin,
                        account,
                        id: VolumeId(id),
                    });
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

fn name<T: std::str::FromStr>(path: &Path) -> Option<T> {
    path.filename()?.parse().ok()
}

/// The hashes of everything that the given manifests reach, themselves included.
///
/// # Errors
/// When any header cannot be read: what it reaches is then unknown, and nothing of the volume
/// may be swept.
pub async fn reach(
    vault: &Vault,
    volume: &VolumeRef,
    manifests: &[Hash],
    condemned: &Condemned,
) -> Result<HashSet<Hash>, VaultError> {
    let shelf = Shelf::list(vault, volume, &[ObjectKind::Manifest], condemned).await?;
    let mut reached = HashSet::new();
    for manifest in manifests {
        if reached.insert(*manifest) {
            let header = header(vault, volume, *manifest, &shelf).await?;
            reached.extend(header.objects().map(|(object, _)| object.hash));
        }
    }
    Ok(reached)
}

/// Removes one incarnation by its full path; that it is gone already is no error.
///
/// # Errors
/// The store's; [`VaultError::BadPath`] for anything that is not an object of a volume.
pub async fn delete(vault: &Vault, path: &str) -> Result<(), VaultError> {
    let refused = || VaultError::BadPath {
        path: path.chars().take(model::limits::ECHO_CHARS_MAX).collect(),
        why: "does not name an object of a volume",
    };
    let parsed = Path::parse(path).map_err(|_| refused())?;
    let parts: Vec<_> = parsed.parts().collect();
    let [volumes, _, _, _, folder, name] = parts.as_slice() else {
        return Err(refused());
    };
    let kind = ObjectKind::ALL
        .into_iter()
        .find(|kind| kind.folder() == folder.as_ref());
    let known = kind.and_then(|kind| crate::shelf::ObjectName::parse(kind, name.as_ref()));
    if volumes.as_ref() != VOLUMES || known.is_none() {
        return Err(refused());
    }
    match vault.store().delete(&parsed).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(VaultError::store("delete", path, source)),
    }
}

/// What a verification looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Objects, the manifest included.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Checks the stored hash and size of everything a snapshot reaches, without any key.
///
/// # Errors
/// The first object that is missing or damaged; [`VaultError::Stopped`].
pub async fn verify_manifest(
    vault: &Vault,
    volume: &VolumeRef,
    manifest: Hash,
    condemned: &Condemned,
    observer: &dyn Observer,
) -> Result<Verified, VaultError> {
    let shelf = Shelf::list(vault, volume, &ObjectKind::ALL, condemned).await?;
    let header = header(vault, volume, manifest, &shelf).await?;
    observer.total(header.total_bytes);
    observer.done(header.manifest_bytes);
    let mut buffer = Vec::new();
    let mut objects = 1;
    for (object, size) in header.objects() {
        if observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        buffer = vault.read_whole(object, &shelf, buffer).await?;
        if buffer.len() as u64 != size {
            return Err(VaultError::damaged(object, "it does not have its size"));
        }
        observer.done(size);
        objects += 1;
    }
    Ok(Verified {
        objects,
        bytes: header.total_bytes,
    })
}
