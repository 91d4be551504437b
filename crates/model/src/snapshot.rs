//! A DB cluster snapshot: the record and its legal states.
use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    clock::Timestamp,
    ids::{Account, Hash, Region, ResourceId, VolumeRef},
    key::WrappedKey,
    log::InLog,
    names::{ClusterName, SnapshotName},
    recovery_point::RecoveryPoint,
    tag::Tag,
    told::Told,
};

/// Where a snapshot stands. RDS's words; clients abort on others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotStatus {
    /// Being taken of a cluster.
    Creating,
    /// Being copied from another snapshot.
    Copying,
    /// Whole, verified and durable.
    Available,
    /// Could not be made; the record says why.
    Failed,
}

impl SnapshotStatus {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Copying => "copying",
            Self::Available => "available",
            Self::Failed => "failed",
        }
    }

    /// Whether a snapshot may go from this state to `next`.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (
                Self::Creating | Self::Copying,
                Self::Available | Self::Failed
            )
        )
    }
}

/// Who made a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// A user.
    Manual,
    /// The backup window.
    Automated,
    /// AWS Backup.
    #[serde(rename = "awsbackup")]
    Backup,
}

impl SnapshotKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Manual, Self::Automated, Self::Backup];

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Automated => "automated",
            Self::Backup => "awsbackup",
        }
    }
}

/// The bytes of a snapshot that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Where in the region's vault they lie.
    pub volume: VolumeRef,
    /// The manifest: the snapshot's root hash.
    pub manifest: Hash,
    /// The manifest's data key; none in an unencrypted volume.
    pub wrapped_key: Option<WrappedKey>,
    /// Bytes of the cluster's files, before compression.
    pub logical_bytes: u64,
    /// Bytes of all that the manifest reaches in the vault.
    pub stored_bytes: u64,
}

/// A DB cluster snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// Its name, unique in region and account.
    pub name: SnapshotName,
    /// Distinguishes a snapshot from a later one of the same name.
    pub uid: uuid::Uuid,
    /// Where it stands.
    pub status: SnapshotStatus,
    /// 0 to 100; 100 once available.
    pub percent_progress: u8,
    /// Who made it.
    pub kind: SnapshotKind,
    /// SnapshotCreateTime: a copy has its source's.
    pub created_at: Timestamp,
    /// When this record was made.
    pub recorded_at: Timestamp,
    /// The cluster's name when it was taken.
    pub cluster_name: ClusterName,
    /// The cluster's name for life.
    pub cluster_resource_id: ResourceId,
    /// ClusterCreateTime.
    pub cluster_created_at: Timestamp,
    /// The cluster's engine.
    pub engine: String,
    /// The cluster's version.
    pub engine_version: String,
    /// The cluster's mode.
    pub engine_mode: String,
    /// The cluster's master role.
    pub master_username: String,
    /// The port of a Multi-AZ cluster; 0 for Aurora, as RDS answers.
    pub port: u16,
    /// The port that the cluster had, Aurora or not: a restore takes it when it is told no other.
    #[serde(default)]
    pub cluster_port: Option<u16>,
    /// GiB as RDS answers it.
    pub allocated_storage_gib: u32,
    /// The cluster's, for Multi-AZ.
    pub storage_type: Option<String>,
    /// Names of zones in the snapshot's region.
    pub availability_zones: Vec<String>,
    /// Whether its bytes are sealed.
    pub storage_encrypted: bool,
    /// The key's ARN, when sealed.
    pub kms_key: Option<Arn>,
    /// The snapshot that this one is a copy of.
    pub source: Option<Arn>,
    /// Its bytes, once whole.
    pub content: Option<Content>,
    /// The `restore` attribute: account ids, or `all`, in the order they were added.
    pub shared_with: Vec<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Why it failed.
    pub failure: Option<Told>,
    /// Where in its cluster's log it lies, if that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_log: Option<InLog>,
    /// What AWS Backup says of it, whose recovery point it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPoint>,
}

impl Snapshot {
    /// `arn:…:cluster-snapshot:<name>`.
    pub fn arn(&self) -> Arn {
        Arn::rds(
            &self.region,
            &self.account,
            "cluster-snapshot",
            self.name.as_str(),
        )
    }

    /// Whether `account` may copy and restore it: the owner, or one it is shared with.
    pub fn is_open_to(&self, account: &Account) -> bool {
        self.account == *account
            || (self.kind == SnapshotKind::Manual
                && self
                    .shared_with
                    .iter()
                    .any(|to| to == "all" || to == account.as_str()))
    }
}
