//! What a volume holds: names of objects, and which of them are there.
//!
//! It does not know what is inside objects.
use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
    sync::Arc,
};

use model::{Hash, Timestamp, VolumeRef};
use object_store::{ObjectMeta, path::Path};
use tokio::sync::OnceCell;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    seal::draw,
    store::Vault,
};

/// Full paths of objects in one region's vault that are going to be deleted. They count as absent.
pub type Condemned = HashSet<String>;

/// The folder that volumes lie in.
pub(crate) const VOLUMES: &str = "volumes";

/// The last part of an object's name: `<hash>.<incarnation>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectName {
    pub(crate) object: ObjectId,
    incarnation: [u8; 16],
}

impl ObjectName {
    /// A name that was never used and never will be again.
    pub(crate) fn fresh(object: ObjectId) -> Self {
        Self {
            object,
            incarnation: draw(),
        }
    }

    pub(crate) fn path(&self, volume: &VolumeRef) -> Path {
        let hex = data_encoding::HEXLOWER.encode(&self.incarnation);
        let ObjectId { kind, hash } = self.object;
        Path::from(format!("{VOLUMES}/{volume}/{}/{hash}.{hex}", kind.folder()))
    }

    pub(crate) fn parse(kind: ObjectKind, name: &str) -> Option<Self> {
        let (hash, incarnation) = name.split_once('.')?;
        let incarnation = data_encoding::HEXLOWER.decode(incarnation.as_bytes());
        Some(Self {
            object: ObjectId {
                kind,
                hash: Hash::from_str(hash).ok()?,
            },
            incarnation: incarnation.ok()?.try_into().ok()?,
        })
    }
}

/// One incarnation of an object.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) path: Path,
    pub(crate) size: u64,
    pub(crate) modified: Timestamp,
}

/// What a volume holds, listed once: every incarnation that is not condemned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    held: HashMap<ObjectId, Vec<Held>>,
    /// How to list it again, when it is in a bucket.
    listing: Option<Arc<Listing>>,
}

/// What a shelf is a list of, and what it was when it was listed once more.
#[derive(Debug)]
struct Listing {
    volume: VolumeRef,
    kinds: Vec<ObjectKind>,
    condemned: Condemned,
    again: OnceCell<Shelf>,
}

impl Shelf {
    /// Lists the kinds of objects that are asked for.
    pub(crate) async fn list(
        vault: &Vault,
        volume: &VolumeRef,
        kinds: &[ObjectKind],
        condemned: &Condemned,
    ) -> Result<Self, VaultError> {
        let mut held: HashMap<ObjectId, Vec<Held>> = HashMap::new();
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
                    held.entry(name.object).or_default().push(Held {
                        path: meta.location,
                        size: meta.size,
                        modified: Timestamp(meta.last_modified.timestamp_micros()),
                    });
                }
            };
            vault.list(&folder, each).await?;
        }
        let listing = vault.place().is_some().then(|| {
            Arc::new(Listing {
                volume: volume.clone(),
                kinds: kinds.to_vec(),
                condemned: condemned.clone(),
                again: OnceCell::new(),
            })
        });
        Ok(Self { held, listing })
    }

    /// One incarnation of one object.
    pub(crate) fn of(object: ObjectId, held: Held) -> Self {
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

    pub(crate) fn find(&self, object: ObjectId) -> &[Held] {
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

    pub(crate) fn into_all(self) -> impl Iterator<Item = (ObjectId, Held)> {
        self.held
            .into_iter()
            .flat_map(|(object, held)| held.into_iter().map(move |held| (object, held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_text() {
        let object = ObjectId {
            kind: ObjectKind::List,
            hash: Hash([3; 32]),
        };
        let name = ObjectName::fresh(object);
        let volume = VolumeRef {
            origin: "us-east-1".parse().unwrap(),
            account: "123456789012".parse().unwrap(),
            id: "5e4a1f3e-0000-4000-8000-000000000001".parse().unwrap(),
        };
        let path = name.path(&volume);
        assert_eq!(
            ObjectName::parse(ObjectKind::List, path.filename().unwrap()),
            Some(name)
        );
        assert_ne!(ObjectName::fresh(object), name);
        for not in ["", "a.b", "x", &format!("{}.00", Hash([0; 32]))] {
            assert_eq!(ObjectName::parse(ObjectKind::Pack, not), None);
        }
    }
}
