//! The names that objects have in a vault: kind, hash and an incarnation that is used once.
//!
//! It does not know which of them are there.
use std::{collections::HashSet, str::FromStr};

use model::{Hash, Timestamp, VolumeRef};
use object_store::path::Path;

use crate::{
    error::{ObjectId, ObjectKind},
    format::seal::draw,
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
pub(crate) struct ObjectVersion {
    pub(crate) path: Path,
    pub(crate) size: u64,
    pub(crate) modified: Timestamp,
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
