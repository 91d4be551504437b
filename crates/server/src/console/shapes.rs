//! The API's answers, as far as pages show them.
use model::Timestamp;
use serde::Deserialize;

/// A page of clusters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Clusters {
    #[serde(default)]
    pub(super) marker: Option<String>,
    #[serde(rename = "DBClusters")]
    pub(super) clusters: Vec<Cluster>,
}

/// A cluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cluster {
    #[serde(rename = "DBClusterIdentifier")]
    pub(super) id: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) percent_progress: Option<String>,
    pub(super) engine: String,
    pub(super) engine_version: String,
    #[serde(default)]
    pub(super) endpoint: Option<String>,
    #[serde(default)]
    pub(super) reader_endpoint: Option<String>,
    #[serde(default)]
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) database_name: Option<String>,
    pub(super) master_username: String,
    pub(super) backup_retention_period: u32,
    #[serde(default)]
    pub(super) earliest_restorable_time: Option<String>,
    #[serde(default)]
    pub(super) latest_restorable_time: Option<String>,
    #[serde(rename = "DBClusterMembers", default)]
    pub(super) members: Vec<Member>,
    #[serde(default)]
    pub(super) kms_key_id: Option<String>,
    pub(super) db_cluster_resource_id: String,
    #[serde(rename = "DBClusterArn")]
    pub(super) arn: String,
    pub(super) cluster_create_time: String,
    #[serde(default)]
    pub(super) deletion_protection: bool,
    #[serde(default)]
    pub(super) tag_list: Vec<Tag>,
}

/// A server of a cluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Member {
    #[serde(rename = "DBInstanceIdentifier")]
    pub(super) id: String,
    pub(super) is_cluster_writer: bool,
    pub(super) promotion_tier: u8,
}

/// A tag.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// A page of snapshots.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Snapshots {
    #[serde(default)]
    pub(super) marker: Option<String>,
    #[serde(rename = "DBClusterSnapshots")]
    pub(super) snapshots: Vec<Snapshot>,
}

/// A snapshot.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Snapshot {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    pub(super) id: String,
    #[serde(rename = "DBClusterIdentifier")]
    pub(super) cluster: String,
    pub(super) status: String,
    pub(super) percent_progress: u8,
    pub(super) snapshot_type: String,
    pub(super) snapshot_create_time: String,
    pub(super) engine: String,
    pub(super) engine_version: String,
    #[serde(default)]
    pub(super) kms_key_id: Option<String>,
    #[serde(rename = "DBClusterSnapshotArn")]
    pub(super) arn: String,
    #[serde(rename = "SourceDBClusterSnapshotArn", default)]
    pub(super) source_arn: Option<String>,
    pub(super) db_cluster_resource_id: String,
    #[serde(default)]
    pub(super) tag_list: Vec<Tag>,
}

impl Snapshot {
    /// Whether it can be restored.
    pub(super) fn is_good(&self) -> bool {
        self.status == "available"
    }

    /// When it was taken.
    pub(super) fn taken_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.snapshot_create_time)
    }
}

/// The regions that can be copied from.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SourceRegions {
    pub(super) source_regions: Vec<SourceRegion>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SourceRegion {
    pub(super) region_name: String,
}
