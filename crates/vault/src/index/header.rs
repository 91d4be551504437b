//! The clear header of a manifest: all that a snapshot reaches, read without any key.
//!
//! It does not know whether anything of it is there.
use model::{Hash, VolumeRef};

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        head::VolumeTag,
        tables::{Reached, Tables},
    },
    store::{listing::VolumeListing, names::Condemned, vault::Vault},
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
    let listing = VolumeListing::list(vault, volume, &[ObjectKind::Manifest], condemned).await?;
    header(vault, volume, manifest, &listing).await
}

pub(crate) async fn header(
    vault: &Vault,
    volume: &VolumeRef,
    manifest: Hash,
    listing: &VolumeListing,
) -> Result<Header, VaultError> {
    let object = ObjectId {
        kind: ObjectKind::Manifest,
        hash: manifest,
    };
    let bytes = vault.read_whole(object, listing, Vec::new()).await?;
    Header::parse(volume, manifest, &bytes)
}

impl Header {
    /// The header of a manifest whose hash was checked.
    pub(crate) fn parse(
        volume: &VolumeRef,
        manifest: Hash,
        bytes: &[u8],
    ) -> Result<Self, VaultError> {
        let tables = Tables::parse(manifest, bytes, VolumeTag::of(volume))?;
        let rows = |rows: &[Reached]| rows.iter().map(|r| (r.hash, r.size)).collect();
        Ok(Self {
            sealed: tables.head.sealed,
            total_bytes: tables.reached_bytes() + bytes.len() as u64,
            lists: rows(&tables.lists),
            packs: rows(&tables.packs),
            manifest_bytes: bytes.len() as u64,
        })
    }

    /// Packs, then lists, with their sizes in bytes: all but the manifest, in the order in which
    /// they are written.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, u64)> + '_ {
        let of = |kind| move |&(hash, size): &(Hash, u64)| (ObjectId { kind, hash }, size);
        let packs = self.packs.iter().map(of(ObjectKind::Pack));
        packs.chain(self.lists.iter().map(of(ObjectKind::List)))
    }
}
