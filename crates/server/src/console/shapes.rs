//! The API's answers, as far as pages show them.
use model::{Account, Timestamp};
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
    pub(super) master_user_secret: Option<MasterUserSecret>,
    #[serde(default)]
    pub(super) tag_list: Vec<Tag>,
}

/// The master user's secret, when it is managed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MasterUserSecret {
    pub(super) kms_key_id: String,
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
    /// GiB.
    pub(super) allocated_storage: u32,
    #[serde(default)]
    pub(super) tag_list: Vec<Tag>,
}

impl Snapshot {
    /// Whether it is an account's own.
    pub(super) fn is_of(&self, account: &Account) -> bool {
        self.arn.split(':').nth(4) == Some(account.as_str())
    }

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

/// Whom a snapshot is shared with.
#[derive(Debug, Deserialize)]
pub(super) struct Attributes {
    #[serde(rename = "DBClusterSnapshotAttributesResult")]
    pub(super) result: AttributesResult,
}

/// The list in it.
#[derive(Debug, Deserialize)]
pub(super) struct AttributesResult {
    #[serde(rename = "DBClusterSnapshotAttributes")]
    pub(super) attributes: Vec<Attribute>,
}

/// One attribute; the only one there is tells who may restore.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attribute {
    #[serde(default)]
    pub(super) attribute_values: Vec<String>,
}

/// A page of keys' names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Aliases {
    pub(super) aliases: Vec<Alias>,
}

/// A key's name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Alias {
    pub(super) alias_name: String,
    #[serde(default)]
    pub(super) target_key_id: Option<String>,
}

/// What is known of a key.
#[derive(Debug, Deserialize)]
pub(super) struct KeyMetadata {
    #[serde(rename = "KeyMetadata")]
    pub(super) key: Key,
}

/// A key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Key {
    pub(super) key_id: String,
    pub(super) arn: String,
    pub(super) key_state: String,
    pub(super) key_spec: String,
    pub(super) key_manager: String,
    #[serde(default)]
    pub(super) description: String,
}

/// A page of keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Keys {
    #[serde(default)]
    pub(super) next_marker: Option<String>,
    pub(super) keys: Vec<ListedKey>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedKey {
    pub(super) key_arn: String,
}

/// A page of events.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Events {
    #[serde(default)]
    pub(super) marker: Option<String>,
    pub(super) events: Vec<Event>,
}

/// An event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Event {
    #[serde(default)]
    pub(super) source_identifier: String,
    pub(super) message: String,
    pub(super) date: String,
}

/// A page of the audit trail.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Trail {
    #[serde(default)]
    pub(super) next_token: Option<String>,
    pub(super) events: Vec<TrailEvent>,
}

/// A request that changed something, or was denied.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrailEvent {
    pub(super) event_name: String,
    pub(super) event_time: f64,
    pub(super) username: String,
    #[serde(default)]
    pub(super) access_key_id: Option<String>,
    pub(super) resources: Vec<TrailResource>,
    pub(super) cloud_trail_event: String,
}

/// What it was about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TrailResource {
    pub(super) resource_name: String,
}

/// What runs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
}

/// A job that is not over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Job {
    #[serde(rename = "JobIdentifier")]
    pub(super) id: String,
    pub(super) job_type: String,
    pub(super) source_type: String,
    pub(super) source_identifier: String,
    pub(super) create_time: String,
    pub(super) bytes_total: u64,
    pub(super) bytes_done: u64,
    pub(super) percent_progress: u8,
    pub(super) attempts: u32,
}

/// What snapshots cost.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Costs {
    pub(super) snapshots: Vec<Cost>,
}

/// What one costs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cost {
    #[serde(default)]
    pub(super) bytes_referenced: Option<u64>,
    #[serde(default)]
    pub(super) bytes_freed: Option<u64>,
}
