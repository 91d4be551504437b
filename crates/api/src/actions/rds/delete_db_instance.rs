//! `DeleteDBInstance`. A writer gives its place to a reader; a cluster's last instance loses its name
//! alone, and the cluster goes on answering at its endpoint.
//!
//! Source: API_DeleteDBInstance and "Deleting Aurora DB clusters and DB instances".
use catalog::{CatalogExt, Tx, clusters, instances, jobs};
use model::{Cluster, ClusterStatus, Instance, InstanceStatus, Job, job::Subject};
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
    events::kinds::{self, OfInstance},
    fault::{Code, Fault},
    jobs::{
        delete_instance::{self, DeleteInstance},
        new_job,
    },
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
        let (asked, of, at) = (wanted.clone(), account.clone(), region.clone());
        let (cluster, found) = context
            .catalog
            .read(move |tx| find_in(tx, &asked, &of, &at))
            .await?;
        let body = delete_instance::Body {
            cluster: cluster.resource_id.clone(),
            instance: found.id.clone(),
        };
        let subject = Subject::cluster(&cluster.region, &cluster.account, &cluster.name);
        let mut job = new_job::<DeleteInstance>(&context, subject, &body);
        job.node = Some(found.placement.node);
        context
            .catalog
            .write(move |tx| {
                let (cluster, found) = find_in(tx, &wanted, &account, &region)?;
                delete(tx, cluster, found, &job)
            })
            .await
    }
}

fn delete(
    tx: &mut dyn Tx,
    cluster: Cluster,
    found: Instance,
    job: &Job,
) -> Result<InstanceOutput, Fault> {
    if !matches!(
        found.status,
        InstanceStatus::Available | InstanceStatus::Failed
    ) {
        return Err(wrong_state(&found));
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
        return Err(not_available(&cluster));
    }
    let members = instances::of_cluster(tx, &cluster.resource_id)?;
    let mut stored = members
        .iter()
        .find(|one| one.value.id == found.id)
        .cloned()
        .ok_or_else(|| Fault::new(Code::DbInstanceNotFound, "DBInstance not found."))?;
    if members.len() == 1 {
        let gone = Instance {
            status: InstanceStatus::Deleting,
            ..found
        };
        kinds::instance(tx, &gone, OfInstance::Deleted)?;
        let unnamed = Instance::first_writer(&cluster, stored.value.placement.clone());
        stored.value = Instance {
            id: stored.value.id,
            ..unnamed
        };
        instances::update(tx, stored)?;
        return Ok(InstanceOutput::of(&cluster, &gone));
    }
    if found.is_writer() {
        can_be_followed(&cluster, &members)?;
        let mut moved = clusters::get_by_resource_id(tx, &cluster.resource_id)?
            .ok_or_else(|| not_available(&cluster))?;
        moved.value.status = ClusterStatus::FailingOver;
        clusters::update(tx, moved)?;
    }
    stored.value.status = InstanceStatus::Deleting;
    let stored = instances::update(tx, stored)?;
    instances::relink(tx, &cluster)?;
    jobs::insert(tx, job)?;
    Ok(InstanceOutput::of(&cluster, &stored.value))
}

/// Refuses to end a writer whose cluster has no reader that can take its writes.
pub(super) fn can_be_followed(
    cluster: &Cluster,
    members: &[catalog::Stored<Instance>],
) -> Result<(), Fault> {
    let ready = |one: &&catalog::Stored<Instance>| {
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
