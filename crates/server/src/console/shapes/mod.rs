//! The API's answers, as far as pages show them.
pub(in crate::console) mod backup;

use model::{Account, Timestamp};
use serde::Deserialize;

/// A page of clusters.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Clusters {
    #[serde(default)]
    pub(in crate::console) marker: Option<String>,
    #[serde(rename = "DBClusters")]
    pub(in crate::console) clusters: Vec<Cluster>,
}

/// A cluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Cluster {
    #[serde(rename = "DBClusterIdentifier")]
    pub(in crate::console) id: String,
    pub(in crate::console) status: String,
    #[serde(default)]
    pub(in crate::console) percent_progress: Option<String>,
    pub(in crate::console) engine: String,
    pub(in crate::console) engine_version: String,
    #[serde(default)]
    pub(in crate::console) endpoint: Option<String>,
    #[serde(default)]
    pub(in crate::console) reader_endpoint: Option<String>,
    #[serde(default)]
    pub(in crate::console) port: Option<u16>,
    #[serde(default)]
    pub(in crate::console) database_name: Option<String>,
    pub(in crate::console) master_username: String,
    pub(in crate::console) backup_retention_period: u32,
    #[serde(default)]
    pub(in crate::console) earliest_restorable_time: Option<String>,
    #[serde(default)]
    pub(in crate::console) latest_restorable_time: Option<String>,
    #[serde(rename = "DBClusterMembers", default)]
    pub(in crate::console) members: Vec<Member>,
    #[serde(default)]
    pub(in crate::console) kms_key_id: Option<String>,
    pub(in crate::console) db_cluster_resource_id: String,
    #[serde(rename = "DBClusterArn")]
    pub(in crate::console) arn: String,
    pub(in crate::console) cluster_create_time: String,
    #[serde(default)]
    pub(in crate::console) deletion_protection: bool,
    #[serde(default)]
    pub(in crate::console) master_user_secret: Option<MasterUserSecret>,
    #[serde(default)]
    pub(in crate::console) tag_list: Vec<Tag>,
}

/// The master user's secret, when it is managed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct MasterUserSecret {
    pub(in crate::console) kms_key_id: String,
}

/// A server of a cluster.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Member {
    #[serde(rename = "DBInstanceIdentifier")]
    pub(in crate::console) id: String,
    pub(in crate::console) is_cluster_writer: bool,
    pub(in crate::console) promotion_tier: u8,
}

/// A tag.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Tag {
    pub(in crate::console) key: String,
    #[serde(default)]
    pub(in crate::console) value: String,
}

/// A page of snapshots.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Snapshots {
    #[serde(default)]
    pub(in crate::console) marker: Option<String>,
    #[serde(rename = "DBClusterSnapshots")]
    pub(in crate::console) snapshots: Vec<Snapshot>,
}

/// A snapshot.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Snapshot {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    pub(in crate::console) id: String,
    #[serde(rename = "DBClusterIdentifier")]
    pub(in crate::console) cluster: String,
    pub(in crate::console) status: String,
    pub(in crate::console) percent_progress: u8,
    pub(in crate::console) snapshot_type: String,
    pub(in crate::console) snapshot_create_time: String,
    pub(in crate::console) engine: String,
    pub(in crate::console) engine_version: String,
    #[serde(default)]
    pub(in crate::console) kms_key_id: Option<String>,
    #[serde(rename = "DBClusterSnapshotArn")]
    pub(in crate::console) arn: String,
    #[serde(rename = "SourceDBClusterSnapshotArn", default)]
    pub(in crate::console) source_arn: Option<String>,
    pub(in crate::console) db_cluster_resource_id: String,
    /// GiB.
    pub(in crate::console) allocated_storage: u32,
    #[serde(default)]
    pub(in crate::console) tag_list: Vec<Tag>,
}

impl Snapshot {
    /// Whether it is an account's own.
    pub(in crate::console) fn is_of(&self, account: &Account) -> bool {
        self.arn.split(':').nth(4) == Some(account.as_str())
    }

    /// Whether it can be restored.
    pub(in crate::console) fn is_good(&self) -> bool {
        self.status == "available"
    }

    /// When it was taken.
    pub(in crate::console) fn taken_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.snapshot_create_time)
    }
}

/// The regions that can be copied from.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct SourceRegions {
    pub(in crate::console) source_regions: Vec<SourceRegion>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct SourceRegion {
    pub(in crate::console) region_name: String,
}

/// Whom a snapshot is shared with.
#[derive(Debug, Deserialize)]
pub(in crate::console) struct Attributes {
    #[serde(rename = "DBClusterSnapshotAttributesResult")]
    pub(in crate::console) result: AttributesResult,
}

/// The list in it.
#[derive(Debug, Deserialize)]
pub(in crate::console) struct AttributesResult {
    #[serde(rename = "DBClusterSnapshotAttributes")]
    pub(in crate::console) attributes: Vec<Attribute>,
}

/// One attribute; the only one there is tells who may restore.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Attribute {
    #[serde(default)]
    pub(in crate::console) attribute_values: Vec<String>,
}

/// A page of keys' names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Aliases {
    pub(in crate::console) aliases: Vec<Alias>,
}

/// A key's name.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Alias {
    pub(in crate::console) alias_name: String,
    #[serde(default)]
    pub(in crate::console) target_key_id: Option<String>,
}

/// What is known of a key.
#[derive(Debug, Deserialize)]
pub(in crate::console) struct KeyMetadata {
    #[serde(rename = "KeyMetadata")]
    pub(in crate::console) key: Key,
}

/// A key.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Key {
    pub(in crate::console) key_id: String,
    pub(in crate::console) arn: String,
    pub(in crate::console) key_state: String,
    pub(in crate::console) key_spec: String,
    pub(in crate::console) key_manager: String,
    #[serde(default)]
    pub(in crate::console) description: String,
}

/// A page of keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Keys {
    #[serde(default)]
    pub(in crate::console) next_marker: Option<String>,
    pub(in crate::console) keys: Vec<ListedKey>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct ListedKey {
    pub(in crate::console) key_arn: String,
}

/// A page of events.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Events {
    #[serde(default)]
    pub(in crate::console) marker: Option<String>,
    pub(in crate::console) events: Vec<Event>,
}

/// An event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Event {
    #[serde(default)]
    pub(in crate::console) source_identifier: String,
    pub(in crate::console) message: String,
    pub(in crate::console) date: String,
}

/// A page of the audit trail.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Trail {
    #[serde(default)]
    pub(in crate::console) next_token: Option<String>,
    pub(in crate::console) events: Vec<TrailEvent>,
}

/// A request that changed something, or was denied.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct TrailEvent {
    pub(in crate::console) event_name: String,
    pub(in crate::console) event_time: f64,
    pub(in crate::console) username: String,
    #[serde(default)]
    pub(in crate::console) access_key_id: Option<String>,
    pub(in crate::console) resources: Vec<TrailResource>,
    pub(in crate::console) cloud_trail_event: String,
}

/// What it was about.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct TrailResource {
    pub(in crate::console) resource_name: String,
}

/// What runs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Jobs {
    pub(in crate::console) jobs: Vec<Job>,
}

/// A job that is not over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Job {
    #[serde(rename = "JobIdentifier")]
    pub(in crate::console) id: String,
    pub(in crate::console) job_type: String,
    pub(in crate::console) source_type: String,
    pub(in crate::console) source_identifier: String,
    pub(in crate::console) create_time: String,
    pub(in crate::console) bytes_total: u64,
    pub(in crate::console) bytes_done: u64,
    pub(in crate::console) percent_progress: u8,
    pub(in crate::console) attempts: u32,
}

/// What snapshots cost.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Costs {
    pub(in crate::console) snapshots: Vec<Cost>,
}

/// What one costs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::console) struct Cost {
    #[serde(default)]
    pub(in crate::console) bytes_referenced: Option<u64>,
    #[serde(default)]
    pub(in crate::console) bytes_freed: Option<u64>,
}
