//! `RebootDBInstance`: stops an instance's server in order, and starts it again.
//!
//! Source: API_RebootDBInstance.
use catalog::{CatalogExt, instances, jobs};
use model::{ClusterStatus, InstanceStatus, job::Subject};
use serde::Deserialize;

use super::{
    create_db_instance::{not_available, wrong_state},
    describe_db_instances::find_in,
};
use crate::{
    action::{Action, ActionContext, Api},
    shapes::{InstanceOutput, InstanceRef},
};
use service::{
    fault::Fault,
    jobs::{
        new_job,
        reboot_instance::{self, RebootInstance},
    },
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
        let (asked, of, at) = (wanted.clone(), account.clone(), region.clone());
        let (cluster, found) = context
            .catalog
            .read(move |tx| find_in(tx, &asked, &of, &at))
            .await?;
        let body = reboot_instance::Body {
            cluster: cluster.resource_id.clone(),
            instance: found.id.clone(),
        };
        let subject = Subject::cluster(&cluster.region, &cluster.account, &cluster.name);
        let mut job = new_job::<RebootInstance>(&context, subject, &body);
        job.node = Some(found.placement.node);
        context
            .catalog
            .write(move |tx| {
                let (cluster, found) = find_in(tx, &wanted, &account, &region)?;
                if found.status != InstanceStatus::Available {
                    return Err(wrong_state(&found));
                }
                if cluster.status != ClusterStatus::Available {
                    return Err(not_available(&cluster));
                }
                let mut stored = wanted.own(tx, &account, &region)?;
                stored.value.status = InstanceStatus::Rebooting;
                let stored = instances::update(tx, stored)?;
                jobs::insert(tx, &job)?;
                Ok(InstanceOutput::of(&cluster, &stored.value))
            })
            .await
    }
}
