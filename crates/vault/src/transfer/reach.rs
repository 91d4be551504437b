//! What one snapshot reaches, to be read piece by piece.
//!
//! It does not know how the pieces travel, nor who asks for them.
use std::collections::HashMap;

use bytes::Bytes;
use model::{Hash, VolumeRef};
use object_store::ObjectStoreExt;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    index::header::header,
    store::{
        listing::VolumeListing, names::Condemned, remote_reader::PIECE_BYTES_MAX, vault::Vault,
    },
};

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
