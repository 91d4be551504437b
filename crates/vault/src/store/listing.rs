//! What a volume holds: names of objects, and which of them are there.
//!
//! It does not know what is inside objects.
use std::{collections::HashMap, sync::Arc};

use model::{Timestamp, VolumeRef};
use object_store::{ObjectMeta, path::Path};
use tokio::sync::OnceCell;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    store::{
        names::{Condemned, ObjectName, ObjectVersion, VOLUMES},
        vault::Vault,
    },
};

/// What a volume holds, listed once: every incarnation that is not condemned.
#[derive(Debug, Clone, Default)]
pub(crate) struct VolumeListing {
    held: HashMap<ObjectId, Vec<ObjectVersion>>,
    /// How to list it again, when it is in a bucket.
    listing: Option<Arc<Listing>>,
}

/// What a listing is a list of, and what it was when it was listed once more.
#[derive(Debug)]
struct Listing {
    volume: VolumeRef,
    kinds: Vec<ObjectKind>,
    condemned: Condemned,
    again: OnceCell<VolumeListing>,
}

impl Listing {
    /// None in a folder, which lists what is there.
    fn of(
        vault: &Vault,
        volume: &VolumeRef,
        kinds: Vec<ObjectKind>,
        condemned: &Condemned,
    ) -> Option<Arc<Self>> {
        vault.place().is_some().then(|| {
            Arc::new(Self {
                volume: volume.clone(),
                kinds,
                condemned: condemned.clone(),
                again: OnceCell::new(),
            })
        })
    }
}

impl VolumeListing {
    /// Lists the kinds of objects that are asked for.
    pub(crate) async fn list(
        vault: &Vault,
        volume: &VolumeRef,
        kinds: &[ObjectKind],
        condemned: &Condemned,
    ) -> Result<Self, VaultError> {
        let mut held: HashMap<ObjectId, Vec<ObjectVersion>> = HashMap::new();
        for kind in kinds {
            let folder = Path::from(format!("{VOLUMES}/{volume}/{}", kind.folder()));
            let each = |meta: ObjectMeta| {
                let name = meta
                    .location
                    .filename()
                    .and_then(|name| ObjectName::parse(*kind, name));
                // Other names are not ours: they are neither read nor swept.
                if let Some(name) = name
                    && !condemned.contains(meta.location.as_ref())
                {
                    held.entry(name.object).or_default().push(ObjectVersion {
                        path: meta.location,
                        size: meta.size,
                        modified: Timestamp(meta.last_modified.timestamp_micros()),
                    });
                }
            };
            vault.list(&folder, each).await?;
        }
        Ok(Self {
            held,
            listing: Listing::of(vault, volume, kinds.to_vec(), condemned),
        })
    }

    /// The manifests that are not condemned, of a list of everything.
    pub(crate) fn sound_manifests(
        &self,
        vault: &Vault,
        volume: &VolumeRef,
        condemned: &Condemned,
    ) -> Self {
        let mut held: HashMap<ObjectId, Vec<ObjectVersion>> = HashMap::new();
        for (object, all) in &self.held {
            let sound = all
                .iter()
                .filter(|held| !condemned.contains(held.path.as_ref()));
            if object.kind == ObjectKind::Manifest {
                held.insert(*object, sound.cloned().collect());
            }
        }
        let kinds = vec![ObjectKind::Manifest];
        Self {
            held,
            listing: Listing::of(vault, volume, kinds, condemned),
        }
    }

    /// One incarnation of one object.
    pub(crate) fn of(object: ObjectId, held: ObjectVersion) -> Self {
        Self {
            held: HashMap::from([(object, vec![held])]),
            listing: None,
        }
    }

    /// Where to look for an object that must be there: here, or in what a bucket lists a little
    /// later when it is not here. That is done once for all objects.
    pub(crate) async fn holding(
        &self,
        vault: &Vault,
        object: ObjectId,
    ) -> Result<&Self, VaultError> {
        let Some(listing) = self
            .listing
            .as_ref()
            .filter(|_| self.find(object).is_empty())
        else {
            return Ok(self);
        };
        let list = || async {
            if let Some(place) = vault.place() {
                tokio::time::sleep(place.options.settle).await;
            }
            Self::list(vault, &listing.volume, &listing.kinds, &listing.condemned).await
        };
        listing.again.get_or_try_init(list).await
    }

    pub(crate) fn find(&self, object: ObjectId) -> &[ObjectVersion] {
        self.held.get(&object).map_or(&[], Vec::as_slice)
    }

    /// The part that concerns one object.
    pub(crate) fn only(&self, object: ObjectId) -> Self {
        let held = self.find(object).to_vec();
        Self {
            held: HashMap::from([(object, held)]),
            listing: self.listing.clone(),
        }
    }

    /// Whether an object of this size is there.
    pub(crate) fn holds(&self, object: ObjectId, size: u64) -> bool {
        self.find(object).iter().any(|held| held.size == size)
    }

    pub(crate) fn into_all(self) -> impl Iterator<Item = (ObjectId, ObjectVersion)> {
        self.held
            .into_iter()
            .flat_map(|(object, held)| held.into_iter().map(move |held| (object, held)))
    }
}
