//! `DBCluster`, as RDS answers it.
use model::{Cluster, Instance, InstanceStatus};
use serde::Serialize;

use super::{AvailabilityZone, Tag};
use crate::action::{Label, Layout, Output};

/// An instance of a cluster, as its cluster tells of it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBClusterMember", rename_all = "PascalCase")]
struct ClusterMember {
    #[serde(rename = "DBInstanceIdentifier")]
    id: String,
    is_cluster_writer: bool,
    #[serde(rename = "DBClusterParameterGroupStatus")]
    parameter_group_status: &'static str,
    promotion_tier: u8,
}

/// A cluster in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBCluster", rename_all = "PascalCase")]
pub struct DbCluster {
    allocated_storage: u32,
    availability_zones: Vec<AvailabilityZone>,
    backup_retention_period: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    database_name: Option<String>,
    #[serde(rename = "DBClusterIdentifier")]
    id: String,
    status: &'static str,
    /// While a restore runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent_progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reader_endpoint: Option<String>,
    #[serde(rename = "MultiAZ")]
    multi_az: bool,
    engine: String,
    engine_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    master_username: String,
    preferred_backup_window: String,
    #[serde(rename = "DBClusterMembers")]
    members: Vec<ClusterMember>,
    storage_encrypted: bool,
    storage_encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    db_cluster_resource_id: String,
    #[serde(rename = "DBClusterArn")]
    arn: String,
    #[serde(rename = "IAMDatabaseAuthenticationEnabled")]
    iam_database_authentication_enabled: bool,
    cluster_create_time: String,
    engine_mode: String,
    #[serde(
        rename = "DBClusterInstanceClass",
        skip_serializing_if = "Option::is_none"
    )]
    instance_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iops: Option<u32>,
    deletion_protection: bool,
    copy_tags_to_snapshot: bool,
    tag_list: Vec<Tag>,
    #[serde(skip)]
    created_at: String,
}

impl DbCluster {
    /// The owner's view. A cluster without a writer has no endpoint yet.
    pub fn of(record: &Cluster, writer: Option<&Instance>) -> Self {
        let place = writer.map(|writer| &writer.placement);
        let endpoint = place.map(|place| place.host.clone());
        Self {
            allocated_storage: record.allocated_storage_gib,
            availability_zones: record
                .availability_zones
                .iter()
                .cloned()
                .map(AvailabilityZone)
                .collect(),
            backup_retention_period: record.backup_retention_days,
            database_name: record.database_name.clone(),
            id: record.name.to_string(),
            status: record.status.as_str(),
            percent_progress: record.percent_progress.map(|percent| percent.to_string()),
            reader_endpoint: endpoint.clone(),
            endpoint,
            multi_az: !record.is_aurora(),
            engine: record.engine.clone(),
            engine_version: record.engine_version.clone(),
            port: place.map(|place| place.port),
            master_username: record.master_username.clone(),
            preferred_backup_window: record.preferred_backup_window.clone(),
            members: Vec::new(),
            storage_encrypted: record.storage_encrypted,
            storage_encryption_type: if record.storage_encrypted {
                "sse-kms"
            } else {
                "none"
            },
            kms_key_id: record.kms_key.as_ref().map(ToString::to_string),
            db_cluster_resource_id: record.resource_id.to_string(),
            arn: record.arn().to_string(),
            iam_database_authentication_enabled: false,
            cluster_create_time: record.created_at.to_rfc3339_micros(),
            engine_mode: record.engine_mode.clone(),
            instance_class: record.instance_class.clone(),
            storage_type: record.storage_type.clone(),
            iops: record.iops,
            deletion_protection: record.deletion_protection,
            copy_tags_to_snapshot: record.copy_tags_to_snapshot,
            tag_list: record.tags.iter().map(Tag::of).collect(),
            created_at: record.created_at.to_rfc3339_secs(),
        }
    }

    /// The same with its instances: those that were made by name, and the address where reads go. It
    /// has the cluster's port, so a reader with another one has an endpoint of its own alone.
    pub fn with_members(mut self, members: &[Instance]) -> Self {
        let named = members.iter().filter_map(|one| {
            let name = one.name.as_ref()?;
            Some(ClusterMember {
                id: name.to_string(),
                is_cluster_writer: one.is_writer(),
                parameter_group_status: "in-sync",
                promotion_tier: one.promotion_tier,
            })
        });
        self.members = named.collect();
        let readers = members.iter().filter(|one| {
            !one.is_writer()
                && one.status == InstanceStatus::Available
                && Some(one.placement.port) == self.port
        });
        let hosts = readers.map(|one| one.placement.host.clone());
        if let Some(host) = hosts.min() {
            self.reader_endpoint = Some(host);
        }
        let zones: std::collections::BTreeSet<_> =
            members.iter().map(|one| &one.availability_zone).collect();
        self.multi_az |= 1 < zones.len();
        self
    }

    /// The same with another status: what the node knows beside the record.
    pub fn with_status(mut self, status: &'static str) -> Self {
        self.status = status;
        self
    }
}

/// The answer of the actions that make, restore or delete one cluster.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ClusterOutput {
    #[serde(rename = "DBCluster")]
    cluster: DbCluster,
}

impl ClusterOutput {
    /// The owner's view.
    pub fn of(record: &Cluster, writer: Option<&Instance>) -> Self {
        Self {
            cluster: DbCluster::of(record, writer),
        }
    }

    /// The same with the cluster's instances.
    pub fn with_members(mut self, members: &[Instance]) -> Self {
        self.cluster = self.cluster.with_members(members);
        self
    }
}

impl Output for ClusterOutput {
    const LAYOUT: Layout = Layout::Resource("DBCluster");

    fn label(&self) -> Label {
        Label::Resource {
            id: self.cluster.id.clone(),
            created_at: Some(self.cluster.created_at.clone()),
        }
    }
}
