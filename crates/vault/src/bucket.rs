//! A region's vault in an S3-compatible bucket: one prefix a region, plain puts, server-side copies.
//!
//! It does not know addresses or credentials: whoever opens the bucket does. It needs no
//! conditional writes: names carry a random incarnation that is used once, so a plain put
//! overwrites nothing, and a put that is sent twice writes the same bytes twice.
use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Timestamp, limits};
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, UploadPart, path::Path, prefix::PrefixStore,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::{ObjectId, VaultError},
    format::MANIFEST_BYTES,
    shelf::{Held, Shelf},
    store::Vault,
};

/// Parts of one object on their way at once.
const PARTS: usize = 4;
/// The smallest part that S3 takes, but for an object's last, bytes.
pub const PART_BYTES_MIN: usize = 5 << 20;
// S3 takes 10,000 parts, and one copy request moves up to 5 GiB.
const _: () = assert!(MANIFEST_BYTES / PART_BYTES_MIN < 10_000 && MANIFEST_BYTES < 5 << 30);

/// How a bucket is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketOptions {
    /// Requests that carry objects at once, of all regions' vaults together: at least 1.
    pub streams: usize,
    /// Objects above this are uploaded in parts of this size, bytes: [`PART_BYTES_MIN`] or more.
    pub part_bytes: usize,
    /// The pause before a question that was answered wrongly is repeated; it grows with each.
    pub pause: Duration,
    /// How long a bucket may take to list a new name: then it is listed once more.
    pub settle: Duration,
}

impl Default for BucketOptions {
    fn default() -> Self {
        Self {
            streams: limits::VAULT_STREAMS,
            part_bytes: limits::VAULT_PART_BYTES,
            pause: Duration::from_millis(200),
            settle: Duration::from_secs(1),
        }
    }
}

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
            path: prefix.chars().take(model::limits::ECHO_CHARS_MAX).collect(),
            why: "cannot be the prefix of objects' names",
        })?;
        Ok(Self(Place {
            root,
            prefix,
            lanes: Arc::new(Semaphore::new(options.streams.max(1))),
            options,
        }))
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

/// Where in a bucket a vault lies.
#[derive(Clone)]
pub(crate) struct Place {
    root: Arc<dyn ObjectStore>,
    prefix: Path,
    /// One for each request that may carry an object.
    lanes: Arc<Semaphore>,
    pub(crate) options: BucketOptions,
}

/// The right to have one request that carries an object under way.
pub(crate) type Lane = OwnedSemaphorePermit;

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.prefix)
    }
}

impl Place {
    /// Waits until one more request may carry an object. Who has a lane asks for no other.
    pub(crate) async fn lane(&self) -> Lane {
        let lane = Arc::clone(&self.lanes).acquire_owned().await;
        lane.expect("the lanes are never closed")
    }

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
    (store, place): (&dyn ObjectStore, &Place),
    path: &Path,
    bytes: Bytes,
) -> object_store::Result<()> {
    if place.options.part_bytes < bytes.len() {
        return put_parts((store, place), path, bytes).await;
    }
    let _lane = place.lane().await;
    let options = PutOptions::from(PutMode::Overwrite);
    store.put_opts(path, bytes.into(), options).await?;
    Ok(())
}

async fn in_lane(place: &Place, part: UploadPart) -> object_store::Result<()> {
    let _lane = place.lane().await;
    part.await
}

/// Uploads several parts at once, so that a broken connection costs one of them.
async fn put_parts(
    (store, place): (&dyn ObjectStore, &Place),
    path: &Path,
    bytes: Bytes,
) -> object_store::Result<()> {
    let mut upload = store.put_multipart(path).await?;
    let (size, most) = (bytes.len(), place.options.part_bytes.max(PART_BYTES_MIN));
    // Made in their order, which numbers them; each begins when it is first polled.
    let parts: Vec<_> = (0..size)
        .step_by(most)
        .map(|start| {
            let part = bytes.slice(start..size.min(start + most));
            in_lane(place, upload.put_part(part.into()))
        })
        .collect();
    let sent = stream::iter(parts)
        .buffer_unordered(PARTS)
        .try_collect::<()>()
        .await;
    let done = match sent {
        Ok(()) => upload.complete().await.map(|_| ()),
        failed => failed,
    };
    let Err(error) = done else {
        return Ok(());
    };
    // It may be complete although the answer said that it is not; nobody else uses the name.
    if (store.head(path).await).is_ok_and(|meta| meta.size == size as u64) {
        return Ok(());
    }
    // What was uploaded has no name; the bucket's rule for such parts removes what stays.
    let _ = upload.abort().await;
    Err(error)
}

/// What a store made of a request to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    /// Size and entity tag are the source's, and so are the bytes.
    Whole,
    /// It has another tag, as after an upload in parts: its bytes are to be looked at.
    Unlike,
    /// There is no copy of use: the bytes have to be carried. Who carries them asks again, and
    /// names what is damaged.
    Not,
}

/// Lets the store copy an object between two vaults of one bucket, and compares what came of it.
pub(crate) async fn copy(
    (from, here): (&Place, &Held),
    to: &Place,
    size: u64,
    target: &Path,
) -> Result<Copied, VaultError> {
    let (source, full) = (from.full(&here.path), to.full(target));
    let failed = |what| {
        let full = full.clone();
        move |error| VaultError::store(what, full, error)
    };
    let before = match from.root.head(&source).await {
        Ok(meta) => meta,
        // It may be gone, or the store may not know it yet.
        Err(object_store::Error::NotFound { .. }) => return Ok(Copied::Not),
        Err(error) => return Err(failed("look at")(error)),
    };
    if before.size != size {
        return Ok(Copied::Not);
    }
    match to.root.copy(&source, &full).await {
        Ok(()) => {}
        Err(
            object_store::Error::NotSupported { .. }
            | object_store::Error::NotImplemented { .. }
            | object_store::Error::NotFound { .. },
        ) => {
            return Ok(Copied::Not);
        }
        Err(error) => return Err(failed("copy to")(error)),
    }
    let after = match to.root.head(&full).await {
        Ok(meta) => meta,
        Err(object_store::Error::NotFound { .. }) => return Ok(Copied::Unlike),
        Err(error) => return Err(failed("look at")(error)),
    };
    let is_same = after.size == size && before.e_tag.is_some() && before.e_tag == after.e_tag;
    Ok(if is_same {
        Copied::Whole
    } else {
        Copied::Unlike
    })
}

/// Whether a copy has the bytes that its name says. One that has not is removed.
pub(crate) async fn is_whole(
    vault: &Vault,
    object: ObjectId,
    size: u64,
    target: &Path,
) -> Result<bool, VaultError> {
    let held = Held {
        path: target.clone(),
        size,
        modified: Timestamp(0),
    };
    let copied = Shelf::of(object, held);
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

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

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
