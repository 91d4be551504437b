//! What two deployments say to each other, in JSON. Version 1; see docs/reference/link.md.
//!
//! It does not know who is asked or what is answered. Members may be added: both sides ignore
//! those that they do not know.
use model::{
    Account, Arn, ClusterName, Hash, Region, ResourceId, SnapshotName, Tag, Timestamp, VolumeRef,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::ObjectKind;

/// The versions of the link that this release speaks.
pub(crate) const VERSIONS: &[u32] = &[1];

/// Where each message is posted.
pub(crate) mod path {
    pub(crate) const HELLO: &str = "/link/hello";
    pub(crate) const TICKET: &str = "/link/v1/ticket";
    pub(crate) const KEY: &str = "/link/v1/key";
    pub(crate) const OBJECT: &str = "/link/v1/object";

    /// The path that is asked for, where there is such a one: any other may be anything.
    pub(crate) fn known(asked: &str) -> Option<&'static str> {
        let all = [HELLO, TICKET, KEY, OBJECT];
        all.into_iter().find(|path| *path == asked)
    }
}

/// The first message: what the asking side speaks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) versions: Vec<u32>,
    pub(crate) release: String,
}

/// The newest version that both speak.
#[derive(Debug, Serialize, Deserialize)]
pub struct Welcome {
    pub version: u32,
    pub release: String,
}

/// Asks for a ticket: who copies which snapshot, under which key, as the caller spelled them.
#[derive(Debug, Serialize, Deserialize)]
pub struct TicketAsk {
    pub caller: Account,
    pub source: Arn,
    pub source_given: String,
    pub kms_key_id: Option<String>,
    pub pre_signed_url: Option<String>,
}

/// A snapshot as the source describes it, and the ticket for its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offer {
    pub ticket: String,
    pub snapshot: Offered,
}

/// What a copy inherits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offered {
    pub name: SnapshotName,
    pub uid: Uuid,
    pub created_at: Timestamp,
    pub cluster_name: ClusterName,
    pub cluster_resource_id: ResourceId,
    pub cluster_created_at: Timestamp,
    pub engine: String,
    pub engine_version: String,
    pub engine_mode: String,
    pub master_username: String,
    pub port: u16,
    #[serde(default)]
    pub cluster_port: Option<u16>,
    pub allocated_storage_gib: u32,
    pub storage_type: Option<String>,
    pub storage_encrypted: bool,
    pub tags: Vec<Tag>,
    pub volume: VolumeRef,
    pub manifest: Hash,
    pub logical_bytes: u64,
    pub stored_bytes: u64,
}

/// Redeems a ticket: the key is to be sealed for this public key, bound to that target key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyAsk {
    pub(crate) ticket: String,
    pub(crate) public: String,
    pub(crate) target_key: Option<Arn>,
}

/// The data key when there is one, and the pass to the snapshot's objects.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeyGiven {
    pub(crate) pass: String,
    pub(crate) public: Option<String>,
    pub(crate) blob: Option<String>,
}

/// What a ticket or a pass says, under the master key of the deployment that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) id: String,
    pub(crate) expires: i64,
    /// The region that asked.
    pub(crate) to: Region,
    pub(crate) caller: Account,
    pub(crate) source: Arn,
    pub(crate) snapshot: Uuid,
    pub(crate) volume: VolumeRef,
    pub(crate) manifest: Hash,
}

impl Claims {
    /// What they give access to.
    pub(crate) fn named(&self) -> (&Region, &VolumeRef, Hash) {
        (&self.source.region, &self.volume, self.manifest)
    }
}

/// Asks for a piece of an object.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ObjectAsk {
    pub(crate) pass: String,
    /// `pack`, `list` or `manifest`.
    pub(crate) kind: String,
    pub(crate) hash: Hash,
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// Why not, in RDS's codes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// The word for a kind of objects.
pub(super) fn name_of(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Pack => "pack",
        ObjectKind::List => "list",
        ObjectKind::Manifest => "manifest",
        ObjectKind::Chunk => "chunk",
    }
}
