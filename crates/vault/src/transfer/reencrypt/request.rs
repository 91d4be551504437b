//! What is to be re-encrypted, from where to where.
//!
//! It does not know how that is done.
use std::sync::Arc;

use model::{Hash, VolumeRef};

use crate::{
    format::seal::DataKey,
    store::{names::Condemned, throttle::Throttle, vault::Vault},
    transfer::{read_from::ReadFrom, reencrypt::frames::Extent},
    write::Base,
};

/// Both data keys of an encrypted snapshot.
#[derive(Debug, Clone, Copy)]
pub struct ReencryptKeys<'a> {
    /// The one it is sealed under.
    pub old: &'a DataKey,
    /// The copy's.
    pub fresh: &'a DataKey,
}

/// What is to be sealed anew.
#[derive(Debug, Clone, Copy)]
pub struct Reencrypt<'a> {
    /// The vault that holds the snapshot.
    pub from: ReadFrom<'a>,
    /// The volume it is in.
    pub origin: &'a VolumeRef,
    /// The snapshot.
    pub manifest: Hash,
    /// None for a snapshot that is not encrypted: its packs are then laid out anew and not sealed.
    pub keys: Option<ReencryptKeys<'a>>,
    /// The vault that is to hold the copy.
    pub to: &'a Vault,
    /// The volume that it will be in, which is another one.
    pub volume: &'a VolumeRef,
    /// Names in the target vault that count as absent.
    pub condemned_there: &'a Condemned,
    /// An earlier copy in the target volume: what it has of the origin is not moved again.
    pub base: Option<&'a Base>,
    /// What an earlier try at this copy recorded.
    pub checkpoint: Option<Hash>,
    /// What comes along with live blocks.
    pub extent: Extent,
    /// What all copies into the target's region share.
    pub throttle: Option<&'a Arc<Throttle>>,
}

/// Records the hash of a manifest that says how far a copy is; answers whether it could. After a
/// `false` the copy stops.
pub type Record<'a> = &'a (dyn Fn(Hash) -> bool + Sync);
