//! A quick look at all that a snapshot reaches.
//!
//! It does not know any key.
use model::{Hash, VolumeRef};

use crate::{
    error::{ObjectKind, VaultError},
    index::header::header,
    observer::Observer,
    store::{listing::VolumeListing, names::Condemned, vault::Vault},
};

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
    let listing = VolumeListing::list(vault, volume, &ObjectKind::ALL, condemned).await?;
    let header = header(vault, volume, manifest, &listing).await?;
    observer.total(header.total_bytes);
    observer.done(header.manifest_bytes);
    let mut buffer = Vec::new();
    let mut objects = 1;
    for (object, size) in header.objects() {
        if observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        buffer = vault.read_whole(object, &listing, buffer).await?;
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
