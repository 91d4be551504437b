//! Has a bucket keep all that a snapshot reaches.
//!
//! It does not know which snapshots are worth it, nor until when.
use futures_util::{StreamExt, stream};
use model::{Hash, Timestamp, VolumeRef};

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    index::header::header,
    store::{listing::VolumeListing, names::Condemned, retention::Retained, vault::Vault},
};

/// Objects that are asked for at once.
const AT_ONCE: usize = 8;

/// Has every object that a snapshot reaches kept until a moment by the bucket's object lock; what is kept
/// for longer stays so. None: the vault is in no bucket that could.
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`] of the manifest, and the store's. All else that is there
/// is kept first.
pub async fn retain(
    vault: &Vault,
    volume: &VolumeRef,
    manifest: Hash,
    condemned: &Condemned,
    until: Timestamp,
) -> Result<Option<Retained>, VaultError> {
    let place = vault.place();
    let Some((place, retention)) = place.and_then(|place| Some((place, place.retention.as_ref()?)))
    else {
        return Ok(None);
    };
    let kinds = [ObjectKind::Pack, ObjectKind::List, ObjectKind::Manifest];
    let listing = VolumeListing::list(vault, volume, &kinds, condemned).await?;
    let reached = header(vault, volume, manifest, &listing).await?;
    let root = ObjectId {
        kind: ObjectKind::Manifest,
        hash: manifest,
    };
    let (mut names, mut first) = (Vec::new(), Ok(()));
    for object in reached.objects().map(|(object, _)| object).chain([root]) {
        let held = listing.holding(vault, object).await?.find(object);
        if held.is_empty() {
            first = first.and(Err(VaultError::Missing { object }));
        }
        // Any of them may be the one that a reader takes.
        names.extend(held.iter().map(|one| place.full(&one.path)));
    }
    let keep = |name| async move {
        let kept = retention.keep(&name, until).await;
        kept.map_err(|error| VaultError::store("keep", &name, error))
    };
    // The first one tells whether the bucket has object lock at all.
    let mut names = names.into_iter();
    if let Some(name) = names.next() {
        match keep(name).await {
            Ok(Retained::NoLock) => return Ok(Some(Retained::NoLock)),
            Ok(Retained::Kept) => {}
            Err(error) => first = first.and(Err(error)),
        }
    }
    let kept = stream::iter(names.map(keep)).buffer_unordered(AT_ONCE);
    let all: Vec<Result<Retained, VaultError>> = kept.collect().await;
    first?;
    let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
    let is_kept = all.iter().all(|one| *one == Retained::Kept);
    Ok(Some(if is_kept {
        Retained::Kept
    } else {
        Retained::NoLock
    }))
}
