//! `DeleteDBInstance`. A writer gives its place to a reader; a cluster's last instance loses its name
//! alone, and the cluster goes on answering at its endpoint.
//!
//! Source: API_DeleteDBInstance and "Deleting Aurora DB clusters and DB instances".
use catalog::{CatalogExt, Stored, Tx, clusters, instances, jobs};
use model::{Cluster, ClusterStatus, Instance, InstanceStatus};
use serde::Deserialize;

use super::describe_db_instances::find_to_change;
use crate::{
    action::{Action, ActionContext, Api},
    clusters::instance_rules::{not_available, wrong_state},
    shapes::{InstanceOutput, InstanceRef, groups::of_instance},
};
use service::{
    context::ServiceContext,
    events::kinds::{self, OfInstance},
    fault::{Code, Fault},
    jobs::{delete_instance::DeleteInstance, on_instance},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteDbInstance {
    #[serde(rename = "DBInstanceIdentifier")]
    id: String,
    #[serde(rename = "FinalDBSnapshotIdentifier")]
    final_snapshot: Option<String>,
    // A member of a cluster has no snapshots of its own.
    #[serde(rename = "SkipFinalSnapshot")]
    _skip_final_snapshot: Option<bool>,
    #[serde(rename = "DeleteAutomatedBackups")]
    _delete_automated_backups: Option<bool>,
}

impl Action for DeleteDbInstance {
    const NAME: &'static str = "DeleteDBInstance";
    const API: Api = Api::Rds;
    type Output = InstanceOutput;

    async fn run(self, cx: &ActionContext) -> Result<InstanceOutput, Fault> {
        let wanted = InstanceRef::asked("DBInstanceIdentifier", &self.id, cx)?;
        if self.final_snapshot.is_some() {
            return Err(Fault::combination(
                "FinalDBSnapshotIdentifier can't be specified for a member of a DB cluster: snapshots are its cluster's.",
            ));
        }
        let (account, region) = (cx.caller.account.clone(), cx.region.clone());
        let context = cx.service.clone();
        cx.service
            .catalog
            .write(move |tx| {
                let (cluster, stored) = find_to_change(tx, &wanted, &account, &region)?;
                delete(&context, tx, &cluster, stored)
            })
            .await
    }
}

fn delete(
    context: &ServiceContext,
    tx: &mut dyn Tx,
    cluster: &Cluster,
    mut stored: Stored<Instance>,
) -> Result<InstanceOutput, Fault> {
    if !matches!(
        stored.value.status,
        InstanceStatus::Available | InstanceStatus::Failed
    ) {
        return Err(wrong_state(&stored.value));
    }
    if cluster.is_multi_az() {
        return Err(Fault::new(
            Code::InvalidDbClusterState,
            format!(
                "DB cluster {} is a Multi-AZ DB cluster: its instances are deleted with it.",
                cluster.name
            ),
        ));
    }
    if cluster.status != ClusterStatus::Available {
        return Err(not_available(cluster));
    }
    let members = instances::of_cluster(tx, &cluster.resource_id)?;
    if members.len() == 1 {
        return take_name(tx, cluster, stored);
    }
    if stored.value.is_writer() {
        can_be_followed(cluster, &members)?;
        let mut moved = clusters::get_by_resource_id(tx, &cluster.resource_id)?
            .ok_or_else(|| not_available(cluster))?;
        moved.value.status = ClusterStatus::FailingOver;
        clusters::update(tx, moved)?;
    }
    stored.value.status = InstanceStatus::Deleting;
    let stored = instances::update(tx, stored)?;
    instances::relink(tx, cluster)?;
    let job = on_instance::job::<DeleteInstance>(context, cluster, &stored.value);
    jobs::insert(tx, &job)?;
    let status = of_instance::status(tx, &stored.value)?;
    Ok(InstanceOutput::of(cluster, &stored.value, status))
}

/// The last instance goes by name alone: its server stays.
fn take_name(
    tx: &mut dyn Tx,
    cluster: &Cluster,
    mut stored: Stored<Instance>,
) -> Result<InstanceOutput, Fault> {
    let gone = Instance {
        status: InstanceStatus::Deleting,
        ..stored.value.clone()
    };
    let status = of_instance::status(tx, &gone)?;
    kinds::instance(tx, &gone, OfInstance::Deleted)?;
    let unnamed = Instance::first_writer(cluster, stored.value.placement.clone());
    stored.value = Instance {
        id: stored.value.id,
        ..unnamed
    };
    instances::update(tx, stored)?;
    Ok(InstanceOutput::of(cluster, &gone, status))
}

/// Refuses to end a writer whose cluster has no reader that can take its writes.
pub(super) fn can_be_followed(
    cluster: &Cluster,
    members: &[Stored<Instance>],
) -> Result<(), Fault> {
    let ready = |one: &&Stored<Instance>| {
        let one = &one.value;
        !one.is_writer() && one.status == InstanceStatus::Available && one.placement.is_whole()
    };
    match members.iter().any(|one| ready(&one)) {
        true => Ok(()),
        false => Err(Fault::new(
            Code::InvalidDbClusterState,
            format!(
                "DB cluster {} has no available reader that could take its writes.",
                cluster.name
            ),
        )),
    }
}
