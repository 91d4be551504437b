//! A region's vault in an S3-compatible bucket: one prefix a region, plain puts, server-side copies.
//!
//! It does not know addresses or credentials: whoever opens the bucket does. It needs no
//! conditional writes: names carry a random incarnation that is used once, so a plain put
//! overwrites nothing, and a put that is sent twice writes the same bytes twice.
use std::{fmt, sync::Arc};

use bytes::Bytes;
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path, prefix::PrefixStore,
};

use crate::{
    error::{ObjectId, VaultError},
    store::{Held, Shelf, Vault},
};

/// Objects above this are uploaded in parts, so that a broken connection costs one part.
const WHOLE_PUT_BYTES: usize = 32 << 20;
/// One part of such an upload, bytes. S3 takes 10,000 parts, and the largest object has 256 MiB.
const PART_BYTES: usize = 16 << 20;

/// The bucket that several regions' vaults share, each below a prefix of its own.
#[derive(Clone)]
pub struct Bucket {
    root: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.prefix)
    }
}

impl Bucket {
    /// Vaults below `prefix`, which may be empty.
    ///
    /// # Errors
    /// When the prefix cannot be part of an object's name.
    pub fn new(root: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, VaultError> {
        let prefix = Path::parse(prefix).map_err(|_| VaultError::BadPath {
            path: prefix.chars().take(model::limits::ECHO_CHARS_MAX).collect(),
            why: "cannot be the prefix of objects' names",
        })?;
        Ok(Self { root, prefix })
    }

    /// The vault of one region.
    pub fn vault(&self, region: &model::Region) -> Vault {
        let prefix = self.prefix.clone().join(region.as_str());
        let store = PrefixStore::new(self.root.clone(), prefix.clone());
        let place = Place {
            root: self.root.clone(),
            prefix,
        };
        Vault::placed(Arc::new(store), place)
    }

    /// The regions that have a vault here, by the names below the prefix.
    ///
    /// # Errors
    /// The store's: also how a wrong bucket, endpoint or credential is noticed at the start.
    pub async fn regions(&self) -> Result<Vec<model::Region>, VaultError> {
        let listed = self.root.list_with_delimiter(Some(&self.prefix)).await;
        let listed = listed.map_err(|error| VaultError::store("list", &self.prefix, error))?;
        let names = listed.common_prefixes;
        Ok(names
            .iter()
            .filter_map(|path| path.filename()?.parse().ok())
            .collect())
    }
}

/// Where in a bucket a vault lies.
#[derive(Clone)]
pub(crate) struct Place {
    root: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.prefix)
    }
}

impl Place {
    fn full(&self, path: &Path) -> Path {
        self.prefix.parts().chain(path.parts()).collect()
    }

    /// Whether one copy request can go from here to there.
    pub(crate) fn is_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }
}

/// Puts a whole object under a name that nothing else uses.
pub(crate) async fn put(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: Bytes,
) -> object_store::Result<()> {
    if bytes.len() <= WHOLE_PUT_BYTES {
        let options = PutOptions::from(PutMode::Overwrite);
        store.put_opts(path, bytes.into(), options).await?;
        return Ok(());
    }
    let mut upload = store.put_multipart(path).await?;
    for start in (0..bytes.len()).step_by(PART_BYTES) {
        let part = bytes.slice(start..bytes.len().min(start + PART_BYTES));
        if let Err(error) = upload.put_part(PutPayload::from(part)).await {
            // What was uploaded has no name; the bucket's rule for such parts removes it else.
            let _ = upload.abort().await;
            return Err(error);
        }
    }
    upload.complete().await?;
    Ok(())
}

/// Lets the store copy an object between two vaults of one bucket, and checks what came of it.
///
/// Equal entity tags and sizes say that the copy has the source's bytes; where the store gives
/// the copy another tag (as after an upload in parts), the copy is read back and hashed. An
/// answer of `false` means that there is no copy of use and the bytes have to be carried: who
/// carries them asks again, and names what is damaged.
pub(crate) async fn copy(
    (from, here): (&Place, &Held),
    (to, vault): (&Place, &Vault),
    object: ObjectId,
    size: u64,
    target: &Path,
) -> Result<bool, VaultError> {
    let (source, full) = (from.full(&here.path), to.full(target));
    let failed = |what| {
        let full = full.clone();
        move |error| VaultError::store(what, full, error)
    };
    let before = match from.root.head(&source).await {
        Ok(meta) => meta,
        // It may be gone, or the store may not know it yet.
        Err(object_store::Error::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(failed("look at")(error)),
    };
    if before.size != size {
        return Ok(false);
    }
    match to.root.copy(&source, &full).await {
        Ok(()) => {}
        Err(
            object_store::Error::NotSupported { .. }
            | object_store::Error::NotImplemented { .. }
            | object_store::Error::NotFound { .. },
        ) => {
            return Ok(false);
        }
        Err(error) => return Err(failed("copy to")(error)),
    }
    let after = match to.root.head(&full).await {
        Ok(meta) => Some(meta),
        Err(object_store::Error::NotFound { .. }) => None,
        Err(error) => return Err(failed("look at")(error)),
    };
    if let Some(after) = after.filter(|after| after.size == size) {
        if before.e_tag.is_some() && before.e_tag == after.e_tag {
            return Ok(true);
        }
        let held = Held {
            path: target.clone(),
            size,
            modified: here.modified,
        };
        let copied = Shelf::of(object, held);
        match vault.read_whole(object, &copied, Vec::new()).await {
            Ok(_) => return Ok(true),
            Err(VaultError::Missing { .. } | VaultError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    remove(to, &full).await;
    Ok(false)
}

/// What is of no use is also removed by the sweep.
async fn remove(to: &Place, path: &Path) {
    if let Err(error) = to.root.delete(path).await {
        // Nothing reads it: its name is in no record, and readers check hashes.
        let _ = error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn what_is_put_in_parts_is_whole() {
        let store = InMemory::new();
        for size in [0, WHOLE_PUT_BYTES, WHOLE_PUT_BYTES + 1, 3 * PART_BYTES] {
            let bytes: Bytes = (0..size).map(|at| (at / 251) as u8).collect();
            let path = Path::from(format!("o/{size}"));
            put(&store, &path, bytes.clone()).await.unwrap();
            let read = store.get(&path).await.unwrap().bytes().await.unwrap();
            assert!(read == bytes, "{size} bytes");
        }
    }
}
