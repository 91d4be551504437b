//! What the requests that make or change a cluster have in common: their members, and what becomes
//! of each.
//!
//! A member is applied, recorded and answered again, or refused in words, where accepting it would
//! be a lie; docs/reference/contract.toml says of each which. Adding one is a field of
//! [`ClusterMembers`], its line in a group of `cluster_request`, and its row there.
use model::{Cluster, ClusterOptions, Window};

use super::rules::{backup_retention, maintenance_window, one_of, window};
use service::fault::Fault;

/// A structure that is refused as a whole, so that what is in it is not read.
pub(crate) type Unread = Option<serde::de::IgnoredAny>;

/// Makes a request's struct of its own members and those of groups: `each` request has the first,
/// `new` ones make a cluster, `full` ones have what a restore has not.
macro_rules! cluster_request {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($own:tt)* } with $($group:ident)+) => {
        cluster_request!(@ [$(#[$meta])* $vis struct $name] [$($own)*] [] $($group)+);
    };
    (@ $head:tt [$($fields:tt)*] [$($names:ident)*] each $($rest:ident)*) => {
        cluster_request!(@ $head [$($fields)*
            backup_retention_period: Option<i64>,
            preferred_backup_window: Option<String>,
            #[serde(rename = "DBClusterParameterGroupName")]
            parameter_group: Option<String>,
            #[serde(default)]
            vpc_security_group_ids: Vec<String>,
            option_group_name: Option<String>,
            #[serde(rename = "EnableIAMDatabaseAuthentication")]
            enable_iam_authentication: Option<bool>,
            backtrack_window: Option<i64>,
            #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
            scaling_configuration: $crate::clusters::request::Unread,
            #[serde(rename = "ServerlessV2ScalingConfiguration")]
            #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
            serverless_scaling: $crate::clusters::request::Unread,
            copy_tags_to_snapshot: Option<bool>,
            deletion_protection: Option<bool>,
            domain: Option<String>,
            #[serde(rename = "DomainIAMRoleName")]
            domain_role: Option<String>,
            #[serde(rename = "DBClusterInstanceClass")]
            instance_class: Option<String>,
            storage_type: Option<String>,
            iops: Option<u32>,
            network_type: Option<String>,
            monitoring_interval: Option<u32>,
            monitoring_role_arn: Option<String>,
            enable_performance_insights: Option<bool>,
            #[serde(rename = "PerformanceInsightsKMSKeyId")]
            performance_insights_key: Option<String>,
            performance_insights_retention_period: Option<u32>,
        ] [$($names)*
            backup_retention_period preferred_backup_window parameter_group vpc_security_group_ids
            option_group_name enable_iam_authentication backtrack_window scaling_configuration
            serverless_scaling copy_tags_to_snapshot deletion_protection domain domain_role
            instance_class storage_type iops network_type monitoring_interval monitoring_role_arn
            enable_performance_insights performance_insights_key
            performance_insights_retention_period
        ] $($rest)*);
    };
    (@ $head:tt [$($fields:tt)*] [$($names:ident)*] new $($rest:ident)*) => {
        cluster_request!(@ $head [$($fields)*
            #[serde(rename = "DBSubnetGroupName")]
            subnet_group: Option<String>,
            #[serde(default)]
            enable_cloudwatch_logs_exports: Vec<String>,
            #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
            rds_custom_cluster_configuration: $crate::clusters::request::Unread,
            publicly_accessible: Option<bool>,
            engine_lifecycle_support: Option<String>,
            #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
            tag_specifications: $crate::clusters::request::Unread,
        ] [$($names)*
            subnet_group enable_cloudwatch_logs_exports rds_custom_cluster_configuration
            publicly_accessible engine_lifecycle_support tag_specifications
        ] $($rest)*);
    };
    (@ $head:tt [$($fields:tt)*] [$($names:ident)*] full $($rest:ident)*) => {
        cluster_request!(@ $head [$($fields)*
            preferred_maintenance_window: Option<String>,
            allocated_storage: Option<u32>,
            auto_minor_version_upgrade: Option<bool>,
            database_insights_mode: Option<String>,
            #[serde(rename = "CACertificateIdentifier")]
            ca_certificate: Option<String>,
            enable_http_endpoint: Option<bool>,
            enable_global_write_forwarding: Option<bool>,
            enable_local_write_forwarding: Option<bool>,
            enable_limitless_database: Option<bool>,
            manage_master_user_password: Option<bool>,
            master_user_secret_kms_key_id: Option<String>,
            master_user_authentication_type: Option<String>,
        ] [$($names)*
            preferred_maintenance_window allocated_storage auto_minor_version_upgrade
            database_insights_mode ca_certificate enable_http_endpoint
            enable_global_write_forwarding enable_local_write_forwarding enable_limitless_database
            manage_master_user_password master_user_secret_kms_key_id
            master_user_authentication_type
        ] $($rest)*);
    };
    (@ [$(#[$meta:meta])* $vis:vis struct $name:ident] [$($fields:tt)*] [$($member:ident)*]) => {
        $(#[$meta])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase")]
        $vis struct $name { $($fields)* }

        impl $name {
            /// Takes out what it has in common with its like.
            fn members(&mut self) -> $crate::clusters::request::ClusterMembers {
                let mut members = $crate::clusters::request::ClusterMembers::default();
                $(members.$member = std::mem::take(&mut self.$member);)*
                members
            }
        }
    };
}
pub(crate) use cluster_request;

/// The members that requests have in common, as they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterMembers {
    pub(crate) allocated_storage: Option<u32>,
    pub(crate) auto_minor_version_upgrade: Option<bool>,
    pub(crate) backtrack_window: Option<i64>,
    pub(crate) backup_retention_period: Option<i64>,
    pub(crate) ca_certificate: Option<String>,
    pub(crate) copy_tags_to_snapshot: Option<bool>,
    pub(crate) database_insights_mode: Option<String>,
    pub(crate) deletion_protection: Option<bool>,
    pub(crate) domain: Option<String>,
    pub(crate) domain_role: Option<String>,
    pub(crate) enable_cloudwatch_logs_exports: Vec<String>,
    pub(crate) enable_global_write_forwarding: Option<bool>,
    pub(crate) enable_http_endpoint: Option<bool>,
    pub(crate) enable_iam_authentication: Option<bool>,
    pub(crate) enable_limitless_database: Option<bool>,
    pub(crate) enable_local_write_forwarding: Option<bool>,
    pub(crate) enable_performance_insights: Option<bool>,
    pub(crate) engine_lifecycle_support: Option<String>,
    pub(crate) instance_class: Option<String>,
    pub(crate) iops: Option<u32>,
    pub(crate) manage_master_user_password: Option<bool>,
    pub(crate) master_user_authentication_type: Option<String>,
    pub(crate) master_user_secret_kms_key_id: Option<String>,
    pub(crate) monitoring_interval: Option<u32>,
    pub(crate) monitoring_role_arn: Option<String>,
    pub(crate) network_type: Option<String>,
    pub(crate) option_group_name: Option<String>,
    pub(crate) parameter_group: Option<String>,
    pub(crate) performance_insights_key: Option<String>,
    pub(crate) performance_insights_retention_period: Option<u32>,
    pub(crate) preferred_backup_window: Option<String>,
    pub(crate) preferred_maintenance_window: Option<String>,
    pub(crate) publicly_accessible: Option<bool>,
    pub(crate) rds_custom_cluster_configuration: Unread,
    pub(crate) scaling_configuration: Unread,
    pub(crate) serverless_scaling: Unread,
    pub(crate) storage_type: Option<String>,
    pub(crate) subnet_group: Option<String>,
    pub(crate) tag_specifications: Unread,
    pub(crate) vpc_security_group_ids: Vec<String>,
}

/// What is refused: whether it was asked for, its name, and why accepting it would be a lie.
pub(crate) type Refusal = (bool, &'static str, &'static str);

/// Refuses the first member that was asked for and cannot be had.
pub(crate) fn refuse(refusals: &[Refusal]) -> Result<(), Fault> {
    match refusals.iter().find(|(asked, ..)| *asked) {
        Some((_, member, why)) => Err(Fault::combination(format!(
            "{member} is not supported here: {why}."
        ))),
        None => Ok(()),
    }
}

const NO_SERVERLESS: &str = "clusters are provisioned, and have what the machine gives them";
const NO_DIRECTORY: &str = "there is no directory to join";
const NO_REPLICAS: &str = "a cluster is in one region";

impl ClusterMembers {
    fn refusals(&self) -> [Refusal; 14] {
        let asked = |flag: Option<bool>| flag == Some(true);
        let iam = self.master_user_authentication_type.as_deref();
        [
            (
                asked(self.enable_iam_authentication),
                "EnableIAMDatabaseAuthentication",
                "users sign in by password",
            ),
            (
                iam.is_some_and(|kind| kind != "password"),
                "MasterUserAuthenticationType",
                "users sign in by password",
            ),
            (
                self.backtrack_window.is_some_and(|secs| secs != 0),
                "BacktrackWindow",
                "only Aurora MySQL goes back in place",
            ),
            (
                self.scaling_configuration.is_some(),
                "ScalingConfiguration",
                NO_SERVERLESS,
            ),
            (
                self.serverless_scaling.is_some(),
                "ServerlessV2ScalingConfiguration",
                NO_SERVERLESS,
            ),
            (self.domain.is_some(), "Domain", NO_DIRECTORY),
            (
                self.domain_role.is_some(),
                "DomainIAMRoleName",
                NO_DIRECTORY,
            ),
            (
                self.rds_custom_cluster_configuration.is_some(),
                "RdsCustomClusterConfiguration",
                "AWS itself keeps it for later",
            ),
            (
                self.tag_specifications.is_some(),
                "TagSpecifications",
                "a cluster brings no other resources along; give Tags",
            ),
            (
                asked(self.enable_http_endpoint),
                "EnableHttpEndpoint",
                "there is no Data API; connect to the cluster's endpoint",
            ),
            (
                asked(self.enable_global_write_forwarding),
                "EnableGlobalWriteForwarding",
                NO_REPLICAS,
            ),
            (
                asked(self.enable_local_write_forwarding),
                "EnableLocalWriteForwarding",
                "readers refuse writes; send them to the cluster's endpoint",
            ),
            (
                asked(self.enable_limitless_database),
                "EnableLimitlessDatabase",
                "a cluster is not spread over shards",
            ),
            (
                self.option_group_name
                    .as_deref()
                    .is_some_and(|name| !name.starts_with("default")),
                "OptionGroupName",
                "there are no option groups beside the default one",
            ),
        ]
    }

    /// Refuses what cannot be had, before anything else is looked at.
    ///
    /// # Errors
    /// `InvalidParameterCombination` for the first of it.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        refuse(&self.refusals())
    }

    /// Writes what was asked for into a record, or says what cannot be.
    ///
    /// # Errors
    /// `InvalidParameterCombination` for what is not supported, `InvalidParameterValue` for what is
    /// out of its rules and for windows that meet.
    pub(crate) fn apply(self, cluster: &mut Cluster) -> Result<(), Fault> {
        self.check()?;
        if let Some(days) = self.backup_retention_period {
            cluster.backup_retention_days = backup_retention(days)?;
        }
        if let Some(text) = &self.preferred_backup_window {
            // What was drawn with the old one stays.
            cluster.options.maintenance_window = Some(cluster.maintenance_window());
            cluster.preferred_backup_window = window(text)?.text();
        }
        if let Some(text) = &self.preferred_maintenance_window {
            let chosen = maintenance_window(text)?;
            cluster.options.maintenance_window = Some(chosen.text());
        }
        if self.preferred_backup_window.is_some() || self.preferred_maintenance_window.is_some() {
            apart(cluster)?;
        }
        set(
            &mut cluster.copy_tags_to_snapshot,
            self.copy_tags_to_snapshot,
        );
        set(&mut cluster.deletion_protection, self.deletion_protection);
        set(&mut cluster.allocated_storage_gib, self.allocated_storage);
        let kinds: &[&str] = match cluster.is_aurora() {
            true => &["aurora", "aurora-iopt1"],
            false => &["io1", "io2", "gp3"],
        };
        let storage = one_of("StorageType", self.storage_type.clone(), kinds)?;
        set_some(&mut cluster.storage_type, storage);
        set_some(&mut cluster.iops, self.iops);
        set_some(&mut cluster.instance_class, self.instance_class.clone());
        self.record(&cluster.engine, &mut cluster.options)
    }

    /// What changes nothing here: kept, and answered again.
    fn record(self, engine: &str, options: &mut ClusterOptions) -> Result<(), Fault> {
        let network = one_of("NetworkType", self.network_type, &["IPV4", "DUAL"])?;
        let mode = one_of(
            "DatabaseInsightsMode",
            self.database_insights_mode,
            &["standard", "advanced"],
        )?;
        let lifecycle = one_of(
            "EngineLifecycleSupport",
            self.engine_lifecycle_support,
            &[
                "open-source-rds-extended-support",
                "open-source-rds-extended-support-disabled",
            ],
        )?;
        // Names of groups are stored in lower case.
        let lower = |name: Option<String>| name.map(|name| name.to_ascii_lowercase());
        set_some(&mut options.parameter_group, lower(self.parameter_group));
        set_some(&mut options.subnet_group, lower(self.subnet_group));
        set_some(&mut options.network_type, network);
        set_some(&mut options.insights_mode, mode);
        set_some(&mut options.lifecycle_support, lifecycle);
        set_some(
            &mut options.auto_minor_version_upgrade,
            self.auto_minor_version_upgrade,
        );
        set_some(&mut options.publicly_accessible, self.publicly_accessible);
        set_some(&mut options.monitoring_interval, self.monitoring_interval);
        set_some(&mut options.monitoring_role, self.monitoring_role_arn);
        set_some(
            &mut options.performance_insights,
            self.enable_performance_insights,
        );
        set_some(
            &mut options.performance_insights_key,
            self.performance_insights_key,
        );
        set_some(
            &mut options.performance_insights_days,
            self.performance_insights_retention_period,
        );
        set_some(&mut options.ca_certificate, self.ca_certificate);
        if !self.vpc_security_group_ids.is_empty() {
            options.security_groups = self.vpc_security_group_ids;
        }
        if !self.enable_cloudwatch_logs_exports.is_empty() {
            options.log_exports = known_logs(engine, self.enable_cloudwatch_logs_exports)?;
        }
        Ok(())
    }
}

/// Kinds of an engine's logs, each once; or what RDS says of one that there is not.
pub(crate) fn known_logs(engine: &str, mut given: Vec<String>) -> Result<Vec<String>, Fault> {
    let known = engine::profile(engine).map_or(&[][..], |profile| profile.log_types);
    if let Some(unknown) = given.iter().find(|kind| !known.contains(&kind.as_str())) {
        return Err(Fault::combination(format!(
            "You cannot use the log type '{}' with the engine {engine}. The log types are {}.",
            model::limits::echo(unknown),
            known.join(", ")
        )));
    }
    given.sort_unstable();
    given.dedup();
    Ok(given)
}

/// The two windows of a cluster must not meet.
fn apart(cluster: &Cluster) -> Result<(), Fault> {
    let weekly = Window::weekly(&cluster.maintenance_window());
    let daily = Window::daily(&cluster.preferred_backup_window);
    match weekly.zip(daily) {
        Some((weekly, daily)) if weekly.overlaps(daily) => Err(Fault::value(
            "The backup window and maintenance window must not overlap.",
        )),
        _ => Ok(()),
    }
}

fn set<T>(at: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *at = given;
    }
}

fn set_some<T>(at: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *at = given;
    }
}
