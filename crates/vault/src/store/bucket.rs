//! A region's vault in an S3-compatible bucket: one prefix a region, plain puts, server-side copies.
//!
//! It does not know addresses or credentials: whoever opens the bucket does.
use std::{fmt, sync::Arc};

use object_store::{ObjectStore, path::Path, prefix::PrefixStore};
use tokio::sync::Semaphore;

use crate::{
    error::VaultError,
    store::{
        bucket_place::{BucketOptions, Place},
        retention::Retention,
        vault::Vault,
    },
};

/// The bucket that several regions' vaults share, each below a prefix of its own.
#[derive(Clone)]
pub struct Bucket(Place);

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.0.prefix)
    }
}

impl Bucket {
    /// Vaults below `prefix`, which may be empty.
    ///
    /// # Errors
    /// When the prefix cannot be part of an object's name.
    pub fn new(
        root: Arc<dyn ObjectStore>,
        prefix: &str,
        options: BucketOptions,
    ) -> Result<Self, VaultError> {
        let prefix = Path::parse(prefix).map_err(|_| VaultError::BadPath {
            path: model::limits::echo(prefix),
            why: "cannot be the prefix of objects' names",
        })?;
        Ok(Self(Place {
            root,
            prefix,
            lanes: Arc::new(Semaphore::new(options.streams.max(1))),
            options,
            retention: None,
        }))
    }

    /// The same, in a bucket that may have object lock.
    #[must_use]
    pub fn with_retention(mut self, retention: Arc<dyn Retention>) -> Self {
        self.0.retention = Some(retention);
        self
    }

    /// The vault of one region.
    pub fn vault(&self, region: &model::Region) -> Vault {
        let place = Place {
            prefix: self.0.prefix.clone().join(region.as_str()),
            ..self.0.clone()
        };
        let store = PrefixStore::new(place.root.clone(), place.prefix.clone());
        Vault::placed(Arc::new(store), place)
    }

    /// The regions that have a vault here, by the names below the prefix.
    ///
    /// # Errors
    /// The store's: also how a wrong bucket, endpoint or credential is noticed at the start.
    pub async fn regions(&self) -> Result<Vec<model::Region>, VaultError> {
        let Place { root, prefix, .. } = &self.0;
        let listed = root.list_with_delimiter(Some(prefix)).await;
        let listed = listed.map_err(|error| VaultError::store("list", prefix, error))?;
        let names = listed.common_prefixes;
        Ok(names
            .iter()
            .filter_map(|path| path.filename()?.parse().ok())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;
    use crate::store::bucket_place::{PART_BYTES_MIN, put};

    #[tokio::test]
    async fn what_is_put_in_parts_is_whole() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let options = BucketOptions {
            part_bytes: PART_BYTES_MIN,
            ..BucketOptions::default()
        };
        let Bucket(place) = Bucket::new(Arc::clone(&store), "", options).unwrap();
        for size in [0, PART_BYTES_MIN, PART_BYTES_MIN + 1, 3 * PART_BYTES_MIN] {
            let bytes: Bytes = (0..size).map(|at| (at / 251) as u8).collect();
            let path = Path::from(format!("o/{size}"));
            let put = put((&*store, &place), &path, bytes.clone());
            put.await.unwrap();
            let read = store.get(&path).await.unwrap().bytes().await.unwrap();
            assert!(read == bytes, "{size} bytes");
        }
    }
}
