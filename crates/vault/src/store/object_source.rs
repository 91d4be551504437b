//! Whole objects of one volume, from the vault at hand or from another deployment's.
//!
//! It does not know what is in them. All that it gives has the hash that was asked for.
use std::sync::Arc;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    observer::{Observer, Unobserved},
    store::{
        listing::VolumeListing,
        object_reader::ObjectReader,
        remote_reader::{Origin, Pieces},
        throttle::Throttle,
        vault::Vault,
    },
};

/// Where they are.
#[derive(Clone)]
pub(crate) enum Objects<'a> {
    /// In a vault at hand, under the names of the listing.
    Here(Vault, Arc<VolumeListing>),
    /// Behind a link.
    There(&'a dyn Origin),
}

impl Objects<'_> {
    /// Whether an object of this size is there, as far as that shows before it is read.
    pub(crate) fn holds(&self, object: ObjectId, size: u64) -> bool {
        match self {
            Self::Here(_, listing) => listing.holds(object, size),
            Self::There(_) => true,
        }
    }

    /// A manifest.
    pub(crate) async fn manifest(&self, hash: model::Hash) -> Result<Vec<u8>, VaultError> {
        let object = ObjectId {
            kind: ObjectKind::Manifest,
            hash,
        };
        match self {
            Self::Here(vault, listing) => vault.read_whole(object, listing, Vec::new()).await,
            Self::There(from) => {
                let (from, observer) = (*from, &Unobserved);
                let pieces = Pieces {
                    from,
                    throttle: None,
                    observer,
                };
                pieces.manifest(hash).await
            }
        }
    }

    /// An object of a known size, of which nobody is told.
    pub(crate) async fn read(&self, object: ObjectId, size: u64) -> Result<Vec<u8>, VaultError> {
        let bytes = match self {
            Self::Here(vault, listing) => vault.read_whole(object, listing, Vec::new()).await?,
            Self::There(_) => {
                let reading = self.read_paced(object, size, Vec::new(), (None, &Unobserved));
                return reading.await;
            }
        };
        if bytes.len() as u64 != size {
            return Err(VaultError::damaged(object, "it does not have its size"));
        }
        Ok(bytes)
    }

    /// An object of a known size into `buffer`, at the pace that is allowed; the observer hears of
    /// its bytes.
    pub(crate) async fn read_paced(
        &self,
        object: ObjectId,
        size: u64,
        buffer: Vec<u8>,
        (throttle, observer): (Option<&Arc<Throttle>>, &dyn Observer),
    ) -> Result<Vec<u8>, VaultError> {
        match self {
            Self::Here(vault, listing) => {
                let reader = ObjectReader {
                    vault,
                    throttle,
                    observer,
                };
                reader.read(object, size, listing, buffer).await
            }
            Self::There(from) => {
                let pieces = Pieces {
                    from: *from,
                    throttle,
                    observer,
                };
                pieces.whole(object, size, buffer).await
            }
        }
    }
}
