//! `ModifyDBInstance`: what is kept of an instance, its promotion tier and its name. Each change is
//! applied at once, so none is ever pending.
//!
//! Source: API_ModifyDBInstance.
use catalog::{
    CatalogExt, instances,
    parameter_status::{self, ParameterStatus},
};
use model::{Instance, InstanceName, InstanceStatus};
use serde::Deserialize;

use super::describe_db_instances::find_to_change;
use crate::{
    action::{Action, ActionContext, Api},
    clusters::instance_rules::{class, is_free, tier, window, wrong_state},
    shapes::{self, InstanceOutput, InstanceRef, groups::of_instance},
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyDbInstance {
    #[serde(rename = "DBInstanceIdentifier")]
    id: String,
    #[serde(rename = "DBInstanceClass")]
    class: Option<String>,
    #[serde(rename = "NewDBInstanceIdentifier")]
    new_id: Option<String>,
    promotion_tier: Option<i64>,
    auto_minor_version_upgrade: Option<bool>,
    #[serde(rename = "CACertificateIdentifier")]
    ca_certificate: Option<String>,
    monitoring_interval: Option<u32>,
    monitoring_role_arn: Option<String>,
    preferred_maintenance_window: Option<String>,
    enable_performance_insights: Option<bool>,
    performance_insights_retention_period: Option<u32>,
    publicly_accessible: Option<bool>,
    #[serde(rename = "DBParameterGroupName")]
    parameter_group: Option<String>,
    #[serde(rename = "DBSubnetGroupName")]
    subnet_group: Option<String>,
    copy_tags_to_snapshot: Option<bool>,
    // What a cluster decides for its members.
    master_user_password: Option<String>,
    manage_master_user_password: Option<bool>,
    backup_retention_period: Option<i64>,
    preferred_backup_window: Option<String>,
    engine_version: Option<String>,
    #[serde(rename = "DBPortNumber")]
    port: Option<i64>,
    allocated_storage: Option<i64>,
    #[serde(rename = "MultiAZ")]
    multi_az: Option<bool>,
}

impl Action for ModifyDbInstance {
    const NAME: &'static str = "ModifyDBInstance";
    const API: Api = Api::Rds;
    type Output = InstanceOutput;

    async fn run(mut self, cx: &ActionContext) -> Result<InstanceOutput, Fault> {
        // Names of groups are stored in lower case.
        self.parameter_group = self.parameter_group.map(|name| name.to_ascii_lowercase());
        let wanted = InstanceRef::asked("DBInstanceIdentifier", &self.id, cx)?;
        let new_name = self.new_id.as_deref();
        let new_name = new_name
            .map(|given| shapes::instance_name("NewDBInstanceIdentifier", given))
            .transpose()?;
        self.check()?;
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        cx.service
            .catalog
            .write(move |tx| {
                let (cluster, mut stored) = find_to_change(tx, &wanted, &account, &region)?;
                if stored.value.status != InstanceStatus::Available {
                    return Err(wrong_state(&stored.value));
                }
                let renamed = new_name
                    .as_ref()
                    .filter(|new| stored.value.name.as_ref() != Some(*new));
                if let Some(new) = renamed {
                    is_free(tx, &cluster, new)?;
                }
                let (group, subnets) = (&self.parameter_group, &self.subnet_group);
                of_instance::check(tx, &cluster, group.as_deref(), subnets.as_deref())?;
                let before = stored.value.options.parameter_group.clone();
                self.apply(&mut stored.value, renamed)?;
                let stored = instances::update(tx, stored)?;
                let one = &stored.value;
                if one.options.parameter_group != before {
                    parameter_status::note(tx, &one.id, ParameterStatus::Applying)?;
                }
                let status = of_instance::status(tx, one)?;
                Ok(InstanceOutput::of(&cluster, one, status))
            })
            .await
            .inspect(|_| cx.service.parameters.notify_one())
    }
}

impl ModifyDbInstance {
    fn check(&self) -> Result<(), Fault> {
        let given = [
            (self.master_user_password.is_some(), "master user password"),
            (
                self.manage_master_user_password.is_some(),
                "master user password",
            ),
            (
                self.backup_retention_period.is_some(),
                "backup retention period",
            ),
            (self.preferred_backup_window.is_some(), "backup window"),
            (self.engine_version.is_some(), "engine version"),
            (self.port.is_some(), "port"),
            (self.allocated_storage.is_some(), "allocated storage"),
            (self.multi_az.is_some(), "Multi-AZ"),
        ];
        if let Some((_, what)) = given.iter().find(|(given, _)| *given) {
            return Err(Fault::combination(format!(
                "The specified DB Instance is a member of a cluster. Modify {what} for the DB Cluster."
            )));
        }
        if let Some(given) = &self.class {
            class(given)?;
        }
        tier(self.promotion_tier)?;
        window(self.preferred_maintenance_window.as_deref()).map(drop)
    }

    fn apply(&self, one: &mut Instance, name: Option<&InstanceName>) -> Result<(), Fault> {
        fn set<T: Clone>(kept: &mut Option<T>, given: &Option<T>) {
            if given.is_some() {
                kept.clone_from(given);
            }
        }
        if let Some(name) = name {
            one.name = Some(name.clone());
        }
        set(&mut one.class, &self.class);
        if self.promotion_tier.is_some() {
            one.promotion_tier = tier(self.promotion_tier)?;
        }
        let kept = &mut one.options;
        set(
            &mut kept.auto_minor_version_upgrade,
            &self.auto_minor_version_upgrade,
        );
        set(&mut kept.ca_certificate, &self.ca_certificate);
        set(&mut kept.monitoring_interval, &self.monitoring_interval);
        set(&mut kept.monitoring_role, &self.monitoring_role_arn);
        let window = window(self.preferred_maintenance_window.as_deref())?;
        set(&mut kept.maintenance_window, &window);
        set(
            &mut kept.performance_insights,
            &self.enable_performance_insights,
        );
        set(
            &mut kept.performance_insights_days,
            &self.performance_insights_retention_period,
        );
        set(&mut kept.publicly_accessible, &self.publicly_accessible);
        set(&mut kept.parameter_group, &self.parameter_group);
        set(&mut kept.copy_tags_to_snapshot, &self.copy_tags_to_snapshot);
        Ok(())
    }
}
