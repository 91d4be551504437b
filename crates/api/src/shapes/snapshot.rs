//! `DBClusterSnapshot`, as RDS answers it.
use model::{Account, Snapshot};
use serde::Serialize;

use super::{AvailabilityZone, Tag};
use crate::action::{Label, Layout, Output};

/// A snapshot in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBClusterSnapshot", rename_all = "PascalCase")]
pub struct DbClusterSnapshot {
    availability_zones: Vec<AvailabilityZone>,
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    id: String,
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    snapshot_create_time: String,
    engine: String,
    engine_mode: String,
    allocated_storage: u32,
    status: &'static str,
    port: u16,
    vpc_id: &'static str,
    cluster_create_time: String,
    master_username: String,
    engine_version: String,
    license_model: &'static str,
    snapshot_type: &'static str,
    percent_progress: u8,
    storage_encrypted: bool,
    storage_encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    #[serde(rename = "DBClusterSnapshotArn")]
    arn: String,
    #[serde(
        rename = "SourceDBClusterSnapshotArn",
        skip_serializing_if = "Option::is_none"
    )]
    source_arn: Option<String>,
    #[serde(rename = "IAMDatabaseAuthenticationEnabled")]
    iam_database_authentication_enabled: bool,
    tag_list: Vec<Tag>,
    storage_type: String,
    db_cluster_resource_id: String,
    #[serde(skip)]
    recorded_at: String,
}

impl DbClusterSnapshot {
    /// The owner's view.
    pub fn of(record: &Snapshot) -> Self {
        Self {
            availability_zones: record
                .availability_zones
                .iter()
                .cloned()
                .map(AvailabilityZone)
                .collect(),
            id: record.name.to_string(),
            cluster: record.cluster_name.to_string(),
            snapshot_create_time: record.created_at.to_rfc3339_micros(),
            engine: record.engine.clone(),
            engine_mode: record.engine_mode.clone(),
            allocated_storage: record.allocated_storage_gib,
            status: record.status.as_str(),
            port: record.port,
            vpc_id: super::NO_VPC,
            cluster_create_time: record.cluster_created_at.to_rfc3339_micros(),
            master_username: record.master_username.clone(),
            engine_version: record.engine_version.clone(),
            license_model: engine::profile(&record.engine)
                .map_or("", |profile| profile.license_model),
            snapshot_type: record.kind.as_str(),
            percent_progress: record.percent_progress,
            storage_encrypted: record.storage_encrypted,
            storage_encryption_type: super::encryption_type(record.storage_encrypted),
            kms_key_id: record.kms_key.as_ref().map(ToString::to_string),
            arn: record.arn().to_string(),
            source_arn: record.source.as_ref().map(ToString::to_string),
            iam_database_authentication_enabled: false,
            tag_list: record.tags.iter().map(Tag::of).collect(),
            storage_type: super::storage_type(
                record.engine.starts_with("aurora"),
                record.storage_type.as_deref(),
            ),
            db_cluster_resource_id: record.cluster_resource_id.to_string(),
            recorded_at: record.recorded_at.to_rfc3339_secs(),
        }
    }

    /// What `viewer` sees: the owner's view, or that of one it is shared with, whose
    /// identifier is the ARN and whose type says how it came to be seen.
    pub fn seen_by(record: &Snapshot, viewer: &Account) -> Self {
        let mut shape = Self::of(record);
        if record.account != *viewer {
            let by_name = record.shared_with.iter().any(|to| to == viewer.as_str());
            shape.snapshot_type = if by_name { "shared" } else { "public" };
            shape.id.clone_from(&shape.arn);
            shape.tag_list.clear();
        }
        shape
    }

    /// The same, listed among public snapshots.
    pub fn among_public(mut self) -> Self {
        self.snapshot_type = "public";
        self.id.clone_from(&self.arn);
        self
    }
}

/// The answer of the actions that make, copy or delete one snapshot.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct SnapshotOutput {
    #[serde(rename = "DBClusterSnapshot")]
    snapshot: DbClusterSnapshot,
}

impl SnapshotOutput {
    /// The owner's view.
    pub fn of(record: &Snapshot) -> Self {
        Self {
            snapshot: DbClusterSnapshot::of(record),
        }
    }
}

impl Output for SnapshotOutput {
    const LAYOUT: Layout = Layout::Resource("DBClusterSnapshot");

    fn label(&self) -> Label {
        Label::Resource {
            id: self.snapshot.id.clone(),
            created_at: Some(self.snapshot.recorded_at.clone()),
        }
    }
}
