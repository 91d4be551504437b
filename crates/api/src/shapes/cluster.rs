//! `DBCluster`, as RDS answers it.
use catalog::parameter_status::ParameterStatus;
use model::{Cluster, ClusterStatus, Instance, InstanceStatus, RestoreWindow, Timestamp};
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

/// A security group, as its cluster names it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct VpcSecurityGroupMembership {
    vpc_security_group_id: String,
    status: &'static str,
}

/// An IAM role, as its cluster names it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBClusterRole", rename_all = "PascalCase")]
struct DbClusterRole {
    role_arn: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    feature_name: Option<String>,
}

/// The certificate authority that was named.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct CertificateDetails {
    #[serde(rename = "CAIdentifier")]
    ca: String,
}

/// The secret that holds the master user's password.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct MasterUserSecret {
    secret_arn: String,
    secret_status: &'static str,
    kms_key_id: String,
}

impl MasterUserSecret {
    fn of(record: &Cluster) -> Option<Self> {
        let secret = record.master_secret.as_ref()?;
        Some(Self {
            secret_arn: secret.arn(&record.region, &record.account).to_string(),
            secret_status: secret.status.as_str(),
            kms_key_id: secret.kms_key.to_string(),
        })
    }
}

/// What was asked for and is not so yet.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct PendingModifiedValues {
    #[serde(
        rename = "DBClusterIdentifier",
        skip_serializing_if = "Option::is_none"
    )]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_user_password: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_version: Option<String>,
}

impl PendingModifiedValues {
    fn of(record: &Cluster) -> Option<Self> {
        let resets = record.status == ClusterStatus::ResettingMasterCredentials;
        let found = Self {
            id: record.pending.name.as_ref().map(ToString::to_string),
            master_user_password: resets.then_some("****"),
            engine_version: record.pending.engine_version.clone(),
        };
        let any = found.id.is_some() || resets || found.engine_version.is_some();
        any.then_some(found)
    }
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
    #[serde(rename = "DBClusterParameterGroup")]
    parameter_group: String,
    #[serde(rename = "DBSubnetGroup")]
    subnet_group: String,
    status: &'static str,
    /// While a restore runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent_progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_restorable_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_restorable_time: Option<String>,
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
    preferred_maintenance_window: String,
    read_replica_identifiers: Vec<()>,
    #[serde(rename = "DBClusterMembers")]
    members: Vec<ClusterMember>,
    vpc_security_groups: Vec<VpcSecurityGroupMembership>,
    hosted_zone_id: &'static str,
    storage_encrypted: bool,
    storage_encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    db_cluster_resource_id: String,
    #[serde(rename = "DBClusterArn")]
    arn: String,
    #[serde(rename = "IAMDatabaseAuthenticationEnabled")]
    iam_database_authentication_enabled: bool,
    associated_roles: Vec<DbClusterRole>,
    cluster_create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    automatic_restart_time: Option<String>,
    backtrack_window: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    enabled_cloudwatch_logs_exports: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_modified_values: Option<PendingModifiedValues>,
    engine_mode: String,
    #[serde(
        rename = "DBClusterInstanceClass",
        skip_serializing_if = "Option::is_none"
    )]
    instance_class: Option<String>,
    storage_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    iops: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publicly_accessible: Option<bool>,
    auto_minor_version_upgrade: bool,
    deletion_protection: bool,
    http_endpoint_enabled: bool,
    activity_stream_status: &'static str,
    copy_tags_to_snapshot: bool,
    cross_account_clone: bool,
    domain_memberships: Vec<()>,
    network_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitoring_interval: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitoring_role_arn: Option<String>,
    database_insights_mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    performance_insights_enabled: Option<bool>,
    #[serde(
        rename = "PerformanceInsightsKMSKeyId",
        skip_serializing_if = "Option::is_none"
    )]
    performance_insights_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    performance_insights_retention_period: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_write_forwarding_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_details: Option<CertificateDetails>,
    engine_lifecycle_support: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_user_secret: Option<MasterUserSecret>,
    tag_list: Vec<Tag>,
    #[serde(skip)]
    created_at: String,
}

impl DbCluster {
    /// The owner's view. A cluster without a writer has no endpoint yet.
    pub fn of(record: &Cluster, writer: Option<&Instance>) -> Self {
        let place = writer.map(|writer| &writer.placement);
        let endpoint = place.map(|place| place.host.clone());
        let options = &record.options;
        // What Multi-AZ clusters alone have is answered of them also when nobody asked for it.
        let multi_az = !record.is_aurora();
        let or = |given: &Option<String>, default: &str| {
            given.clone().unwrap_or_else(|| default.to_owned())
        };
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
            parameter_group: or(
                &options.parameter_group,
                &default_parameter_group(&record.engine, &record.engine_version),
            ),
            subnet_group: or(&options.subnet_group, "default"),
            status: record.status.as_str(),
            percent_progress: record.percent_progress.map(|percent| percent.to_string()),
            earliest_restorable_time: None,
            latest_restorable_time: None,
            reader_endpoint: endpoint.clone(),
            endpoint,
            multi_az,
            engine: record.engine.clone(),
            engine_version: record.engine_version.clone(),
            port: place.map(|place| place.port),
            master_username: record.master_username.clone(),
            preferred_backup_window: record.preferred_backup_window.clone(),
            preferred_maintenance_window: record.maintenance_window(),
            read_replica_identifiers: Vec::new(),
            members: Vec::new(),
            vpc_security_groups: security_groups(record),
            hosted_zone_id: super::HOSTED_ZONE,
            storage_encrypted: record.storage_encrypted,
            storage_encryption_type: super::encryption_type(record.storage_encrypted),
            kms_key_id: record.kms_key.as_ref().map(ToString::to_string),
            db_cluster_resource_id: record.resource_id.to_string(),
            arn: record.arn().to_string(),
            iam_database_authentication_enabled: false,
            associated_roles: roles(record),
            cluster_create_time: record.created_at.to_rfc3339_micros(),
            automatic_restart_time: record.restarts_at.map(Timestamp::to_rfc3339_micros),
            backtrack_window: 0,
            enabled_cloudwatch_logs_exports: options.log_exports.clone(),
            pending_modified_values: PendingModifiedValues::of(record),
            engine_mode: record.engine_mode.clone(),
            instance_class: record.instance_class.clone(),
            storage_type: super::storage_type(record.is_aurora(), record.storage_type.as_deref()),
            iops: record.iops,
            publicly_accessible: options.publicly_accessible.or(multi_az.then_some(false)),
            auto_minor_version_upgrade: options.auto_minor_version_upgrade.unwrap_or(true),
            deletion_protection: record.deletion_protection,
            http_endpoint_enabled: false,
            activity_stream_status: "stopped",
            copy_tags_to_snapshot: record.copy_tags_to_snapshot,
            cross_account_clone: false,
            domain_memberships: Vec::new(),
            network_type: or(&options.network_type, "IPV4"),
            monitoring_interval: options.monitoring_interval.or(multi_az.then_some(0)),
            monitoring_role_arn: options.monitoring_role.clone(),
            database_insights_mode: or(&options.insights_mode, "standard"),
            performance_insights_enabled: options
                .performance_insights
                .or(multi_az.then_some(false)),
            performance_insights_key: options.performance_insights_key.clone(),
            performance_insights_retention_period: options.performance_insights_days,
            local_write_forwarding_status: (!multi_az).then_some("disabled"),
            certificate_details: options
                .ca_certificate
                .clone()
                .map(|ca| CertificateDetails { ca }),
            engine_lifecycle_support: or(
                &options.lifecycle_support,
                "open-source-rds-extended-support",
            ),
            master_user_secret: MasterUserSecret::of(record),
            tag_list: record.tags.iter().map(Tag::of).collect(),
            created_at: record.created_at.to_rfc3339_secs(),
        }
    }

    /// The same where the servers of some instances do not have all parameters.
    pub fn with_waiting(mut self, waiting: &[(String, &'static str)]) -> Self {
        for member in &mut self.members {
            if let Some((_, status)) = waiting.iter().find(|(name, _)| *name == member.id) {
                member.parameter_group_status = status;
            }
        }
        self
    }

    /// The same with its instances: those that were made by name, and the address where reads go. It
    /// has the cluster's port, so a reader with another one has an endpoint of its own alone.
    pub fn with_members(mut self, members: &[Instance]) -> Self {
        let named = members.iter().filter_map(|one| {
            let name = one.name.as_ref()?;
            Some(ClusterMember {
                id: name.to_string(),
                is_cluster_writer: one.is_writer(),
                parameter_group_status: ParameterStatus::InSync.as_str(),
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

    /// Where writes and reads go, once there is such an address.
    pub fn endpoints(&self) -> [Option<&str>; 2] {
        [self.endpoint.as_deref(), self.reader_endpoint.as_deref()]
    }

    /// With the moments that it can be restored to.
    #[must_use]
    pub fn with_window(mut self, window: Option<RestoreWindow>) -> Self {
        let bounds = window.map(bounds);
        [self.earliest_restorable_time, self.latest_restorable_time] = match bounds {
            Some(bounds) => bounds.map(Some),
            None => [None, None],
        };
        self
    }

    /// The same with another status: what the node knows beside the record.
    #[must_use]
    pub fn with_status(mut self, status: &'static str) -> Self {
        self.status = status;
        self
    }
}

fn security_groups(record: &Cluster) -> Vec<VpcSecurityGroupMembership> {
    let groups = record.options.security_groups.iter().cloned();
    groups
        .map(|vpc_security_group_id| VpcSecurityGroupMembership {
            vpc_security_group_id,
            status: "active",
        })
        .collect()
}

fn roles(record: &Cluster) -> Vec<DbClusterRole> {
    let roles = record.options.roles.iter();
    roles
        .map(|role| DbClusterRole {
            role_arn: role.arn.clone(),
            status: "ACTIVE",
            feature_name: role.feature.clone(),
        })
        .collect()
}

/// The cluster parameter group that a cluster has unless another is named.
fn default_parameter_group(engine: &str, version: &str) -> String {
    format!("default.{engine}{}", engine::series_of(engine, version))
}

/// The answer of the actions that make, change or delete one cluster.
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

    /// The owner's view of a cluster with all of its instances.
    pub fn of_all(record: &Cluster, members: &[Instance]) -> Self {
        let writer = members.iter().find(|one| one.is_writer());
        Self::of(record, writer).with_members(members)
    }

    /// The same where the servers of some instances do not have all parameters.
    pub fn with_waiting(mut self, waiting: &[(String, &'static str)]) -> Self {
        self.cluster = self.cluster.with_waiting(waiting);
        self
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

/// The earliest and the latest moment of a window. A reader that cuts fractions of a millisecond off
/// still has a moment within.
pub fn bounds(window: RestoreWindow) -> [String; 2] {
    let millis = |at: i64| Timestamp(at * 1_000).to_rfc3339_micros();
    [
        millis((window.earliest.0 + 999).div_euclid(1_000)),
        millis(window.latest.0.div_euclid(1_000)),
    ]
}
