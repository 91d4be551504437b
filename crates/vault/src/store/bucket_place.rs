//! Where in a bucket a vault lies, and the requests that carry objects there.
//!
//! It needs no conditional writes: names carry a random incarnation that is used once, so a plain
//! put overwrites nothing, and a put that is sent twice writes the same bytes twice.
use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use model::limits;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, UploadPart, path::Path};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::VaultError,
    format::head::MANIFEST_BYTES,
    store::{names::ObjectVersion, retention::Retention},
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

/// Where in a bucket a vault lies.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) root: Arc<dyn ObjectStore>,
    pub(crate) prefix: Path,
    /// One for each request that may carry an object.
    pub(crate) lanes: Arc<Semaphore>,
    pub(crate) options: BucketOptions,
    /// Keeps objects by the store's own means.
    pub(crate) retention: Option<Arc<dyn Retention>>,
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

    pub(crate) fn full(&self, path: &Path) -> Path {
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
    (from, here): (&Place, &ObjectVersion),
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
