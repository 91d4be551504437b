//! `CreateDBClusterSnapshot`.
//!
//! Source: API_CreateDBClusterSnapshot. The snapshot's key is the cluster's.
use catalog::{CatalogExt, clusters, jobs};
use model::{Cluster, ClusterStatus, SnapshotKind};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::{self, ClusterRef, SnapshotOutput, Tag},
};
use service::{
    backups::records::{self, Asked},
    fault::{Code, Fault},
};

use super::{
    copy_db_cluster_snapshot::{insert, within_quota},
    describe_db_clusters::find,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDbClusterSnapshot {
    #[serde(rename = "DBClusterSnapshotIdentifier")]
    snapshot: String,
    #[serde(rename = "DBClusterIdentifier")]
    cluster: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Action for CreateDbClusterSnapshot {
    const NAME: &'static str = "CreateDBClusterSnapshot";
    const API: Api = Api::Rds;
    type Output = SnapshotOutput;

    async fn run(self, cx: &ActionContext) -> Result<SnapshotOutput, Fault> {
        let name = shapes::manual_snapshot("DBClusterSnapshotIdentifier", &self.snapshot)?;
        let wanted = ClusterRef::asked("DBClusterIdentifier", &self.cluster, cx)?;
        let given = shapes::to_records(&self.tags)?;
        let found = find(cx, &wanted).await?;
        let cluster = &found.cluster;
        if cluster.status != ClusterStatus::Available {
            return Err(not_available(cluster));
        }
        let asked = Asked {
            name,
            kind: SnapshotKind::Manual,
            tags: given,
        };
        let context = &cx.service;
        let (snapshot, body) = records::prepare(context, cluster, found.port(), asked).await?;
        let job = records::job(context, cluster, found.node(), &snapshot, &body);
        let limit = cx.service.settings.manual_snapshots_max;
        let kept = cx
            .service
            .catalog
            .write(move |tx| {
                let still = clusters::get_by_resource_id(tx, &snapshot.cluster_resource_id)?
                    .ok_or_else(|| wanted.not_found())?;
                if still.value.status != ClusterStatus::Available {
                    return Err(not_available(&still.value));
                }
                within_quota(tx, &snapshot.account, &snapshot.region, limit, 1)?;
                jobs::insert(tx, &job)?;
                insert(tx, snapshot.clone())
            })
            .await?;
        Ok(SnapshotOutput::of(&kept))
    }
}

/// What RDS says of a cluster that cannot be snapshotted now.
pub(super) fn not_available(cluster: &Cluster) -> Fault {
    Fault::new(
        Code::InvalidDbClusterState,
        format!(
            "Can't create a snapshot because the database cluster {} isn't currently in the available state",
            cluster.name
        ),
    )
}
