//! A DB cluster: the record and its legal states.
use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    clock::Timestamp,
    ids::{Account, Hash, Region, ResourceId, VolumeRef},
    key::WrappedKey,
    names::ClusterName,
    tag::Tag,
    told::Told,
};

/// Where a cluster stands. RDS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterStatus {
    /// Being made, or loaded from a snapshot.
    Creating,
    /// Runs, and takes connections.
    Available,
    /// Another of its instances is about to take its writes.
    FailingOver,
    /// Being removed, perhaps after a final snapshot.
    Deleting,
    /// Could not be made. Its record says why; it can be deleted.
    Failed,
}

impl ClusterStatus {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::Creating,
        Self::Available,
        Self::FailingOver,
        Self::Deleting,
        Self::Failed,
    ];

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::FailingOver => "failing-over",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
        }
    }

    /// Whether a cluster may go from this state to `next`.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Creating, Self::Available | Self::Failed)
                | (Self::Available | Self::Failed, Self::Deleting)
                | (Self::Available, Self::FailingOver)
                | (Self::FailingOver, Self::Available)
                // Given up: with its files whole, or without.
                | (Self::Deleting, Self::Available | Self::Failed)
        )
    }
}

/// The snapshot that the next one of a cluster is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The manifest, in the cluster's volume and region.
    pub manifest: Hash,
    /// Its data key, wrapped for the cluster; none in an unencrypted volume.
    pub wrapped_key: Option<WrappedKey>,
}

/// A DB cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// Its name, unique in region and account.
    pub name: ClusterName,
    /// Its name for life.
    pub resource_id: ResourceId,
    /// Where it stands.
    pub status: ClusterStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// The API's name for it.
    pub engine: String,
    /// As the database says it, such as `15.18`.
    pub engine_version: String,
    /// The role that the creator named.
    pub master_username: String,
    /// The database made with the cluster, if one was named.
    pub database_name: Option<String>,
    /// Whether what reaches the vault is sealed.
    pub storage_encrypted: bool,
    /// The key's ARN, when sealed.
    pub kms_key: Option<Arn>,
    /// The lineage that its snapshots belong to.
    pub volume: VolumeRef,
    /// The last snapshot taken of it.
    pub base: Option<Base>,
    /// Whether its snapshots get its tags.
    pub copy_tags_to_snapshot: bool,
    /// Whether DeleteDBCluster is refused.
    pub deletion_protection: bool,
    /// Days, 1 to 35.
    pub backup_retention_days: u32,
    /// `hh24:mi-hh24:mi`, UTC.
    pub preferred_backup_window: String,
    /// Names of zones in the region.
    pub availability_zones: Vec<String>,
    /// `provisioned`.
    pub engine_mode: String,
    /// As given; Multi-AZ clusters have one.
    pub storage_type: Option<String>,
    /// GiB, as given for a Multi-AZ cluster; 1 for Aurora.
    pub allocated_storage_gib: u32,
    /// As given for a Multi-AZ cluster.
    pub iops: Option<u32>,
    /// As given for a Multi-AZ cluster.
    pub instance_class: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Why it failed.
    pub failure: Option<Told>,
    /// Whole percent of the restore that makes it; none when no restore does.
    #[serde(default)]
    pub percent_progress: Option<u8>,
}

impl Cluster {
    /// `arn:…:cluster:<name>`.
    pub fn arn(&self) -> Arn {
        Arn::rds(&self.region, &self.account, "cluster", self.name.as_str())
    }

    /// Whether it is a Multi-AZ DB cluster: a writer and two readers from its creation, and a commit
    /// waits for one of them.
    pub fn is_multi_az(&self) -> bool {
        !self.is_aurora() && self.instance_class.is_some()
    }

    /// Whether it is an Aurora cluster; a Multi-AZ DB cluster otherwise.
    pub fn is_aurora(&self) -> bool {
        self.engine.starts_with("aurora")
    }
}
