//! `RebootDBInstance`: stops an instance's server in order, and starts it again.
//!
//! Source: API_RebootDBInstance.
use catalog::{CatalogExt, instances, jobs};
use model::{ClusterStatus, InstanceStatus};
use serde::Deserialize;

use super::describe_db_instances::find_to_change;
use crate::{
    action::{Action, ActionContext, Api},
    clusters::instance_rules::{not_available, wrong_state},
    shapes::{InstanceOutput, InstanceRef, groups::of_instance},
};
use service::{
    fault::Fault,
    jobs::{on_instance, reboot_instance::RebootInstance},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RebootDbInstance {
    #[serde(rename = "DBInstanceIdentifier")]
    id: String,
    force_failover: Option<bool>,
}

impl Action for RebootDbInstance {
    const NAME: &'static str = "RebootDBInstance";
    const API: Api = Api::Rds;
    type Output = InstanceOutput;

    async fn run(self, cx: &ActionContext) -> Result<InstanceOutput, Fault> {
        let wanted = InstanceRef::asked("DBInstanceIdentifier", &self.id, cx)?;
        if self.force_failover == Some(true) {
            return Err(Fault::combination(
                "ForceFailover can't be specified for a member of a DB cluster: use FailoverDBCluster.",
            ));
        }
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let context = cx.service.clone();
        cx.service
            .catalog
            .write(move |tx| {
                let (cluster, mut stored) = find_to_change(tx, &wanted, &account, &region)?;
                if stored.value.status != InstanceStatus::Available {
                    return Err(wrong_state(&stored.value));
                }
                if cluster.status != ClusterStatus::Available {
                    return Err(not_available(&cluster));
                }
                stored.value.status = InstanceStatus::Rebooting;
                let stored = instances::update(tx, stored)?;
                let job = on_instance::job::<RebootInstance>(&context, &cluster, &stored.value);
                jobs::insert(tx, &job)?;
                let status = of_instance::status(tx, &stored.value)?;
                Ok(InstanceOutput::of(&cluster, &stored.value, status))
            })
            .await
    }
}
