//! What is kept: blocks in sealed, immutable packs, and what describes and moves them.
//!
//! It does not know what a cluster is, whose a snapshot is, or where wrapped keys are kept.
//! The bytes are described in docs/reference/vault-format.md.
mod block;
mod body;
mod bucket;
mod cursor;
mod direct;
mod error;
mod fetch;
mod format;
#[doc(hidden)]
pub mod hot;
mod large;
mod layers;
mod list;
mod manifest;
mod mend;
mod objects;
mod observer;
mod paced;
mod pack;
mod part;
mod pieces;
mod ranges;
mod read;
pub mod records;
mod reseal;
mod seal;
mod shelf;
mod ship;
mod source;
mod store;
mod sweep;
mod throttle;
mod tree_hash;
mod unfinished;
mod write;

pub use body::Evidence;
pub use bucket::{Bucket, BucketOptions, PART_BYTES_MIN};
pub use error::{ErrorKind, ObjectId, ObjectKind, VaultError};
pub use fetch::{Fetch, Reach, fetch};
pub use mend::{Mended, Mender};
pub use observer::{Observer, Unobserved};
pub use pieces::{Origin, PIECE_BYTES_MAX};
pub use read::{Check, Checked, Damage, DamagedBytes, Passed, Restored, check, in_sample, restore};
pub use reseal::{
    Extent, ReadFrom, Record, Reseal, ResealKeys, Resealed, reseal, volume_sealed_anew,
};
pub use seal::{DataKey, Sealing};
pub use shelf::Condemned;
pub use ship::{Shipment, Shipped, ship};
pub use store::{Intake, Vault};
pub use sweep::{
    Header, ObjectEntry, Verified, delete, manifests, objects, reach, read_header, verify_manifest,
    volumes,
};
pub use throttle::Throttle;
pub use unfinished::remove_unfinished;
pub use write::{Base, Content, Looked, SnapshotWriter, WriteOptions, Written};
