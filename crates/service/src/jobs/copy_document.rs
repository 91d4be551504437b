//! What a job that copies a snapshot needs to know, as its row keeps it.
use model::{Arn, Content, Hash, Region, VolumeRef, WrappedKey, cluster::Base};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The job's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The copy, by the id that no later one of its name has.
    pub snapshot: Uuid,
    /// The source, for people who read the row.
    pub source: Arn,
    /// Where the bytes are.
    pub source_region: Region,
    /// What the copy will have: the data key is wrapped under the copy's key already.
    pub content: Content,
    /// What another deployment gave to fetch the bytes with, when it hosts the source region.
    #[serde(default)]
    pub pass: Option<String>,
    /// How it is sealed anew, when it is.
    #[serde(default, rename = "anew")]
    pub reencryption: Option<Reencryption>,
}

/// What comes along with live blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// The frames they lie in.
    Frames,
    /// Nothing, since the target's account never had the rest.
    Blocks,
}

/// How a copy is sealed anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reencryption {
    /// The volume that the copy will be in.
    pub volume: VolumeRef,
    /// The copy's own data key; none when it is not encrypted. (The source's is wrapped in the
    /// job's content.)
    pub wrapped_key: Option<WrappedKey>,
    /// What comes along.
    pub extent: Extent,
    /// An earlier copy in that volume.
    pub base: Option<Base>,
    /// The manifest that says how far the tries before came.
    pub checkpoint: Option<Hash>,
}
