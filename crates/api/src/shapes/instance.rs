//! `DBInstance`, as RDS answers it.
use model::{Cluster, ClusterStatus, Instance};
use serde::Serialize;

use super::Tag;
use crate::action::{Label, Layout, Output};

/// What the deployment's own authority for clusters' certificates is called in RDS's words.
pub const CA_IDENTIFIER: &str = "rds-ca-rsa2048-g1";

/// Where a server is reached.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    address: String,
    port: u16,
    hosted_zone_id: &'static str,
}

/// A parameter group that an instance has.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBParameterGroup")]
struct ParameterGroup {
    #[serde(rename = "DBParameterGroupName")]
    name: String,
    #[serde(rename = "ParameterApplyStatus")]
    status: &'static str,
}

/// The subnet group of an instance.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBSubnetGroup", rename_all = "PascalCase")]
struct SubnetGroup {
    #[serde(rename = "DBSubnetGroupName")]
    name: String,
    #[serde(rename = "DBSubnetGroupDescription")]
    description: &'static str,
    vpc_id: &'static str,
    subnet_group_status: &'static str,
    subnets: Vec<()>,
}

/// Modifications that wait; there never are any, since each is applied at once.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Pending {}

/// An instance in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBInstance", rename_all = "PascalCase")]
pub struct DbInstance {
    #[serde(rename = "DBInstanceIdentifier")]
    id: String,
    #[serde(rename = "DBInstanceClass")]
    class: String,
    engine: String,
    #[serde(rename = "DBInstanceStatus")]
    status: String,
    master_username: String,
    #[serde(rename = "DBName", skip_serializing_if = "Option::is_none")]
    database_name: Option<String>,
    // Not before there is one, as in RDS.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<Endpoint>,
    allocated_storage: u32,
    instance_create_time: String,
    preferred_backup_window: String,
    backup_retention_period: u32,
    #[serde(rename = "DBSecurityGroups")]
    security_groups: Vec<()>,
    vpc_security_groups: Vec<()>,
    #[serde(rename = "DBParameterGroups")]
    parameter_groups: Vec<ParameterGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability_zone: Option<String>,
    #[serde(rename = "DBSubnetGroup")]
    subnet_group: SubnetGroup,
    preferred_maintenance_window: String,
    pending_modified_values: Pending,
    #[serde(rename = "MultiAZ")]
    multi_az: bool,
    engine_version: String,
    auto_minor_version_upgrade: bool,
    #[serde(rename = "ReadReplicaDBInstanceIdentifiers")]
    replicas: Vec<()>,
    license_model: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iops: Option<u32>,
    option_group_memberships: Vec<()>,
    publicly_accessible: bool,
    storage_type: String,
    storage_encryption_type: &'static str,
    db_instance_port: u16,
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    storage_encrypted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    dbi_resource_id: String,
    #[serde(rename = "CACertificateIdentifier")]
    ca_certificate: String,
    domain_memberships: Vec<()>,
    copy_tags_to_snapshot: bool,
    monitoring_interval: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitoring_role_arn: Option<String>,
    promotion_tier: u8,
    #[serde(rename = "DBInstanceArn")]
    arn: String,
    #[serde(rename = "IAMDatabaseAuthenticationEnabled")]
    iam_database_authentication_enabled: bool,
    performance_insights_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    performance_insights_retention_period: Option<u32>,
    deletion_protection: bool,
    associated_roles: Vec<()>,
    tag_list: Vec<Tag>,
    customer_owned_ip_enabled: bool,
    network_type: &'static str,
    backup_target: &'static str,
    #[serde(skip)]
    created_at: String,
}

impl DbInstance {
    /// The same, and how its server stands to its parameters.
    pub fn with_parameters(mut self, status: &'static str) -> Self {
        for group in &mut self.parameter_groups {
            group.status = status;
        }
        self
    }

    /// The owner's view of a cluster's member. `answers`: whether its server takes sessions, where
    /// that is known.
    pub fn of(cluster: &Cluster, instance: &Instance, answers: Option<bool>) -> Self {
        let place = &instance.placement;
        let options = &instance.options;
        let created = instance.created_at.unwrap_or(cluster.created_at);
        let license_model =
            engine::profile(&cluster.engine).map_or("", |profile| profile.license_model);
        Self {
            id: instance.arn_name().to_owned(),
            class: instance.class.clone().unwrap_or_default(),
            engine: cluster.engine.clone(),
            status: status(cluster, instance, answers).to_owned(),
            master_username: cluster.master_username.clone(),
            database_name: cluster.database_name.clone(),
            endpoint: place.has_address().then(|| Endpoint {
                address: place.host.clone(),
                port: place.port,
                hosted_zone_id: super::HOSTED_ZONE,
            }),
            allocated_storage: cluster.allocated_storage_gib,
            instance_create_time: created.to_rfc3339_micros(),
            preferred_backup_window: cluster.preferred_backup_window.clone(),
            backup_retention_period: cluster.backup_retention_days,
            security_groups: Vec::new(),
            vpc_security_groups: Vec::new(),
            parameter_groups: vec![ParameterGroup {
                name: options
                    .parameter_group
                    .clone()
                    .unwrap_or_else(|| default_group(cluster)),
                status: "in-sync",
            }],
            availability_zone: instance.availability_zone.clone(),
            subnet_group: SubnetGroup {
                name: cluster
                    .options
                    .subnet_group
                    .clone()
                    .unwrap_or_else(|| "default".to_owned()),
                description: "default",
                vpc_id: super::NO_VPC,
                subnet_group_status: "Complete",
                subnets: Vec::new(),
            },
            preferred_maintenance_window: options
                .maintenance_window
                .clone()
                .unwrap_or_else(|| cluster.maintenance_window()),
            pending_modified_values: Pending {},
            multi_az: cluster.is_multi_az(),
            engine_version: cluster.engine_version.clone(),
            auto_minor_version_upgrade: options.auto_minor_version_upgrade.unwrap_or(true),
            replicas: Vec::new(),
            license_model,
            iops: cluster.iops,
            option_group_memberships: Vec::new(),
            publicly_accessible: options.publicly_accessible.unwrap_or(false),
            storage_type: cluster
                .storage_type
                .clone()
                .unwrap_or_else(|| "aurora".to_owned()),
            storage_encryption_type: match cluster.storage_encrypted {
                true => "sse-kms",
                false => "none",
            },
            db_instance_port: 0,
            cluster: cluster.name.to_string(),
            storage_encrypted: cluster.storage_encrypted,
            kms_key_id: cluster.kms_key.as_ref().map(ToString::to_string),
            dbi_resource_id: instance.id.as_str().to_owned(),
            ca_certificate: options
                .ca_certificate
                .clone()
                .unwrap_or_else(|| CA_IDENTIFIER.to_owned()),
            domain_memberships: Vec::new(),
            copy_tags_to_snapshot: options.copy_tags_to_snapshot.unwrap_or(false),
            monitoring_interval: options.monitoring_interval.unwrap_or(0),
            monitoring_role_arn: options.monitoring_role.clone(),
            promotion_tier: instance.promotion_tier,
            arn: instance.arn().to_string(),
            iam_database_authentication_enabled: false,
            performance_insights_enabled: options.performance_insights.unwrap_or(false),
            performance_insights_retention_period: options.performance_insights_days,
            deletion_protection: cluster.deletion_protection && cluster.is_multi_az(),
            associated_roles: Vec::new(),
            tag_list: instance.tags.iter().map(Tag::of).collect(),
            customer_owned_ip_enabled: false,
            network_type: "IPV4",
            backup_target: "region",
            created_at: created.to_rfc3339_secs(),
        }
    }
}

/// A record says `available` also while its server is down: RDS calls that `starting`. What is done to
/// all of a cluster's servers is done to this one.
fn status(cluster: &Cluster, instance: &Instance, answers: Option<bool>) -> &'static str {
    let of_all = match cluster.status {
        ClusterStatus::Stopped => true,
        ClusterStatus::FailingOver => false,
        status => status.is_changing(),
    };
    match (instance.status, answers) {
        (model::InstanceStatus::Available, _) if of_all => cluster.status.as_str(),
        (model::InstanceStatus::Available, Some(false)) => "starting",
        (status, _) => status.as_str(),
    }
}

/// The group that instances have whose creator named none.
fn default_group(cluster: &Cluster) -> String {
    let series = engine::series_of(&cluster.engine, &cluster.engine_version);
    format!("default.{}{series}", cluster.engine)
}

/// The answer of the actions that make, change or delete one instance.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct InstanceOutput {
    #[serde(rename = "DBInstance")]
    instance: DbInstance,
}

impl InstanceOutput {
    /// The owner's view.
    pub fn of(cluster: &Cluster, instance: &Instance, parameter_status: &'static str) -> Self {
        let shape = DbInstance::of(cluster, instance, None);
        Self {
            instance: shape.with_parameters(parameter_status),
        }
    }
}

impl Output for InstanceOutput {
    const LAYOUT: Layout = Layout::Resource("DBInstance");

    fn label(&self) -> Label {
        Label::Resource {
            id: self.instance.id.clone(),
            created_at: Some(self.instance.created_at.clone()),
        }
    }
}
