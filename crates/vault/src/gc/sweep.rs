//! What is in a vault, what a manifest reaches, whether it is whole, and removing an object.
//!
//! It does not know which manifests are live, nor what is condemned: the catalog does. It needs
//! no key for anything.
use std::collections::HashSet;

use model::{Hash, Timestamp, VolumeId, VolumeRef};
use object_store::{ObjectStoreExt, path::Path};

use crate::{
    error::{ObjectKind, VaultError},
    store::{
        listing::VolumeListing,
        names::{Condemned, VOLUMES},
        vault::Vault,
    },
};

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
    let listing = VolumeListing::list(vault, volume, &ObjectKind::ALL, &Condemned::new()).await?;
    Ok(entries(listing))
}

pub(crate) fn entries(listing: VolumeListing) -> Vec<ObjectEntry> {
    let mut entries: Vec<ObjectEntry> = listing
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
    entries
}

/// The manifests in a volume, by the hashes that their names claim.
///
/// # Errors
/// The store's.
pub async fn manifests(vault: &Vault, volume: &VolumeRef) -> Result<HashSet<Hash>, VaultError> {
    let listing =
        VolumeListing::list(vault, volume, &[ObjectKind::Manifest], &Condemned::new()).await?;
    Ok(listing.into_all().map(|(object, _)| object.hash).collect())
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

/// Removes one incarnation by its full path; that it is gone already is no error.
///
/// # Errors
/// The store's; [`VaultError::BadPath`] for anything that is not an object of a volume.
pub async fn delete(vault: &Vault, path: &str) -> Result<(), VaultError> {
    let refused = || VaultError::BadPath {
        path: model::limits::echo(path),
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
    let known = kind.and_then(|kind| crate::store::names::ObjectName::parse(kind, name.as_ref()));
    if volumes.as_ref() != VOLUMES || known.is_none() {
        return Err(refused());
    }
    match vault.store().delete(&parsed).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(VaultError::store("delete", path, source)),
    }
}
