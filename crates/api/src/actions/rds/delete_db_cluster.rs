//! `DeleteDBCluster`, with or without a final snapshot.
//!
//! Source: API_DeleteDBCluster and "Deleting Aurora DB clusters".
use catalog::{CatalogExt, Stored, Tx, clusters as rows, instances, jobs, keyed, snapshots};
use model::{
    Cluster, ClusterStatus, Instance, InstanceStatus, RetainedBackup, Snapshot, SnapshotKind,
    job::Subject,
};
use serde::Deserialize;

use super::{
    copy_db_cluster_snapshot::{insert, within_quota},
    create_db_cluster_snapshot as snapshotting,
    describe_db_clusters::find,
};
use crate::{
    action::{Action, ActionContext, Api},
    shapes::{self, ClusterOutput, ClusterRef},
};
use service::{
    backups::{
        ends,
        records::{self, Asked},
    },
    fault::{Code, Fault},
    jobs::{
        delete_cluster::{self, DeleteCluster, FinalSnapshot},
        new_job,
    },
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteDbCluster {
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    skip_final_snapshot: Option<bool>,
    #[serde(rename = "FinalDBSnapshotIdentifier")]
    final_snapshot: Option<String>,
    delete_automated_backups: Option<bool>,
}

impl Action for DeleteDbCluster {
    const NAME: &'static str = "DeleteDBCluster";
    const API: Api = Api::Rds;
    type Output = ClusterOutput;

    async fn run(self, cx: &ActionContext) -> Result<ClusterOutput, Fault> {
        let wanted = ClusterRef::asked("DBClusterIdentifier", &self.cluster, cx)?;
        let final_name = match (
            self.skip_final_snapshot.unwrap_or(false),
            &self.final_snapshot,
        ) {
            (false, None) => {
                return Err(Fault::combination(
                    "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
                ));
            }
            (true, Some(_)) => {
                return Err(Fault::combination(
                    "You cannot specify both FinalDBSnapshotIdentifier and SkipFinalSnapshot",
                ));
            }
            (true, None) => None,
            (false, Some(given)) => {
                Some(shapes::final_snapshot("FinalDBSnapshotIdentifier", given)?)
            }
        };
        let keeps_backups = self.delete_automated_backups == Some(false);
        let found = find(cx, &wanted).await?;
        let cluster = &found.cluster;
        let final_snapshot = match final_name {
            None => None,
            Some(name) => {
                if cluster.status != ClusterStatus::Available {
                    return Err(snapshotting::not_available(cluster));
                }
                let asked = Asked {
                    name,
                    kind: SnapshotKind::Manual,
                    tags: Vec::new(),
                };
                let context = &cx.service;
                Some(records::prepare(context, cluster, found.port(), asked).await?)
            }
        };
        let (record, needs): (Option<Snapshot>, _) = final_snapshot.unzip();
        let named = record.as_ref().zip(needs);
        let body = delete_cluster::Body {
            cluster: cluster.resource_id.clone(),
            keeps_backups,
            was_stopped: cluster.status == ClusterStatus::Stopped,
            final_snapshot: named.map(|(record, needs)| FinalSnapshot {
                name: record.name.clone(),
                needs,
            }),
        };
        let subject = Subject::cluster(&cx.region, &cx.caller.account, &cluster.name);
        let mut job = new_job::<DeleteCluster>(&cx.service, subject, &body);
        job.node = found.node();
        job.pins = records::pins(cluster);
        let id = cluster.resource_id.clone();
        let limit = cx.service.settings.manual_snapshots_max;
        let retained_max = cx.service.settings.clusters_max;
        let deleting = cx
            .service
            .catalog
            .write(move |tx| {
                let mut stored = rows::get_by_resource_id(tx, &id)?
                    .ok_or_else(|| wanted.not_found())?;
                let cluster = &mut stored.value;
                if cluster.deletion_protection {
                    return Err(Fault::combination(
                        "Cannot delete protected Cluster, please disable deletion protection and try again.",
                    ));
                }
                if !cluster.status.may_become(ClusterStatus::Deleting) {
                    return Err(Fault::new(
                        Code::InvalidDbClusterState,
                        format!("DB cluster {} is {}: it cannot be deleted now.", cluster.name, cluster.status.as_str()),
                    ));
                }
                let members = instances::of_cluster(tx, &cluster.resource_id)?;
                let remains = |one: &Stored<Instance>| {
                    one.value.name.is_some() && one.value.status != InstanceStatus::Deleting
                };
                if !cluster.is_multi_az() && members.iter().any(remains) {
                    return Err(Fault::new(
                        Code::InvalidDbClusterState,
                        "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
                    ));
                }
                ends::give_way(tx, cluster)?;
                let under_way = snapshots::count_creating(tx, &cluster.region, &cluster.account, &cluster.resource_id, None)?;
                if 0 < under_way {
                    return Err(Fault::new(
                        Code::InvalidDbClusterState,
                        format!("DB cluster {} cannot be deleted while a snapshot of it is being created.", cluster.name),
                    ));
                }
                if keeps_backups {
                    may_retain(tx, cluster, retained_max)?;
                }
                if let Some(record) = &record {
                    // A name that is taken is told first, then the quota: what it refuses is undone.
                    insert(tx, record.clone())?;
                    within_quota(tx, &record.account, &record.region, limit, 0)?;
                }
                cluster.status = ClusterStatus::Deleting;
                jobs::insert(tx, &job)?;
                Ok(rows::update(tx, stored)?.value)
            })
            .await?;
        let output = ClusterOutput::of(&deleting, found.writer.as_ref());
        Ok(output
            .with_members(&found.members)
            .with_waiting(&found.waiting))
    }
}

/// The quota of retained automated backups is that of clusters.
fn may_retain(tx: &mut dyn Tx, cluster: &Cluster, max: usize) -> Result<(), Fault> {
    let above = [cluster.account.as_str()];
    let have = keyed::list::<RetainedBackup>(tx, &cluster.region, &above, 2 * max)?;
    let of_deleted = have.iter().filter(|one| one.value.brought_from.is_none());
    if of_deleted.count() < max {
        return Ok(());
    }
    Err(Fault::new(
        Code::DbClusterAutomatedBackupQuotaExceeded,
        format!("Cannot retain automated backups of more than {max} deleted DB clusters"),
    ))
}
