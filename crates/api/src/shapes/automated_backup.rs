//! `DBClusterAutomatedBackup`, as RDS answers it.
use model::{Arn, Cluster, RestoreWindow, RetainedBackup, retained_backup};
use serde::Serialize;

use super::{AvailabilityZone, Tag, cluster::bounds};

/// What a cluster's automated backups are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Their cluster is there, in this region or in the one that they are brought from.
    Active,
    /// They outlive it.
    Retained,
}

impl Standing {
    /// That of backups without a cluster beside them.
    pub fn of(backup: &RetainedBackup) -> Self {
        match backup.is_brought() {
            true => Self::Active,
            false => Self::Retained,
        }
    }

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retained => "retained",
        }
    }
}

/// The moments that a cluster can be restored to.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Window {
    earliest_time: String,
    latest_time: String,
}

/// The automated backups of a cluster in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename = "DBClusterAutomatedBackup", rename_all = "PascalCase")]
pub struct DbClusterAutomatedBackup {
    engine: String,
    vpc_id: &'static str,
    #[serde(rename = "DBClusterAutomatedBackupsArn")]
    arn: String,
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    master_username: String,
    db_cluster_resource_id: String,
    region: String,
    license_model: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_window: Option<Window>,
    status: &'static str,
    #[serde(rename = "IAMDatabaseAuthenticationEnabled")]
    iam_database_authentication_enabled: bool,
    cluster_create_time: String,
    storage_encrypted: bool,
    storage_encryption_type: &'static str,
    allocated_storage: u32,
    engine_version: String,
    #[serde(rename = "DBClusterArn")]
    cluster_arn: String,
    backup_retention_period: u32,
    preferred_backup_window: String,
    engine_mode: String,
    availability_zones: Vec<AvailabilityZone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    storage_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    iops: Option<u32>,
    tag_list: Vec<Tag>,
}

impl DbClusterAutomatedBackup {
    fn with(cluster: &Cluster, port: Option<u16>, standing: Standing) -> Self {
        let arn = retained_backup::arn(&cluster.region, &cluster.account, &cluster.resource_id);
        Self {
            engine: cluster.engine.clone(),
            vpc_id: super::NO_VPC,
            arn: arn.to_string(),
            cluster: cluster.name.to_string(),
            master_username: cluster.master_username.clone(),
            db_cluster_resource_id: cluster.resource_id.to_string(),
            region: cluster.region.to_string(),
            license_model: engine::profile(&cluster.engine)
                .map_or("", |profile| profile.license_model),
            restore_window: None,
            status: standing.as_str(),
            iam_database_authentication_enabled: false,
            cluster_create_time: cluster.created_at.to_rfc3339_micros(),
            storage_encrypted: cluster.storage_encrypted,
            storage_encryption_type: super::encryption_type(cluster.storage_encrypted),
            allocated_storage: cluster.allocated_storage_gib,
            engine_version: cluster.engine_version.clone(),
            cluster_arn: cluster.arn().to_string(),
            backup_retention_period: cluster.backup_retention_days,
            preferred_backup_window: cluster.preferred_backup_window.clone(),
            engine_mode: cluster.engine_mode.clone(),
            availability_zones: cluster
                .availability_zones
                .iter()
                .cloned()
                .map(AvailabilityZone)
                .collect(),
            port,
            kms_key_id: cluster.kms_key.as_ref().map(ToString::to_string),
            storage_type: super::storage_type(cluster.is_aurora(), cluster.storage_type.as_deref()),
            iops: cluster.iops,
            tag_list: cluster.tags.iter().map(Tag::of).collect(),
        }
    }

    /// With the moments that the cluster can be restored to.
    #[must_use]
    pub fn with_window(mut self, window: Option<RestoreWindow>) -> Self {
        self.restore_window = window.map(|window| {
            let [earliest_time, latest_time] = bounds(window);
            Window {
                earliest_time,
                latest_time,
            }
        });
        self
    }

    /// Of a cluster that is there.
    pub fn active(cluster: &Cluster, port: Option<u16>) -> Self {
        Self::with(cluster, port, Standing::Active)
    }

    /// Of one that is not, or not in this region.
    pub fn retained(backup: &RetainedBackup) -> Self {
        let mut shape = Self::with(&backup.cluster, backup.port, Standing::of(backup));
        if let Some(from) = &backup.brought_from {
            // The cluster's region and ARN are its own; what is here has this region's ARN.
            shape.region = from.to_string();
            let (account, name) = (&backup.cluster.account, &backup.cluster.name);
            shape.cluster_arn = Arn::rds(from, account, "cluster", name.as_str()).to_string();
        }
        shape
    }
}
