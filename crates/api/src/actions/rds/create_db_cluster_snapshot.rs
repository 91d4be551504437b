//! `CreateDBClusterSnapshot`.
//!
//! Source: API_CreateDBClusterSnapshot. The snapshot's key is the cluster's.
use catalog::{CatalogExt, clusters, jobs};
use model::{
    Cluster, ClusterStatus, Job, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus,
    job::{Pin, Subject},
};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    shapes::{self, ClusterRef, SnapshotOutput, Tag},
};
use service::{
    fault::{Code, Fault},
    jobs::{
        create_snapshot::{self, CreateSnapshot},
        new_job,
    },
    keys::{RdsUse, snapshot_context},
};

use super::{
    copy_db_cluster_snapshot::{insert, within_quota},
    describe_db_clusters::{Found, find},
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
        let (snapshot, body) = prepare(cx, &found, name, given).await?;
        let job = snapshot_job(cx, &found, &snapshot, &body);
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

/// A new snapshot's record, and what its job needs: the data key is drawn now, so that a key
/// that cannot be used refuses the request instead of failing the job.
pub(super) async fn prepare(
    cx: &ActionContext,
    found: &Found,
    name: SnapshotName,
    given_tags: Vec<model::Tag>,
) -> Result<(Snapshot, create_snapshot::Body), Fault> {
    let cluster = &found.cluster;
    let port = found.writer.as_ref().map(|writer| writer.placement.port);
    let now = cx.service.now();
    let uid = cx.service.entropy.uuid();
    let wrapped_key = match &cluster.kms_key {
        None => None,
        Some(arn) => {
            let user = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
            let key = user.target(&arn.to_string()).await?;
            let context = snapshot_context(&cluster.account, &uid, &cluster.volume);
            Some(user.generate(&key, context).await?.1)
        }
    };
    let tags = if given_tags.is_empty() && cluster.copy_tags_to_snapshot {
        cluster.tags.clone()
    } else {
        given_tags
    };
    let snapshot = Snapshot {
        region: cluster.region.clone(),
        account: cluster.account.clone(),
        name,
        uid,
        status: SnapshotStatus::Creating,
        percent_progress: 0,
        kind: SnapshotKind::Manual,
        created_at: now,
        recorded_at: now,
        cluster_name: cluster.name.clone(),
        cluster_resource_id: cluster.resource_id.clone(),
        cluster_created_at: cluster.created_at,
        engine: cluster.engine.clone(),
        engine_version: cluster.engine_version.clone(),
        engine_mode: cluster.engine_mode.clone(),
        master_username: cluster.master_username.clone(),
        port: if cluster.is_aurora() {
            0
        } else {
            port.unwrap_or(0)
        },
        cluster_port: port,
        allocated_storage_gib: cluster.allocated_storage_gib,
        storage_type: cluster.storage_type.clone(),
        availability_zones: cluster.availability_zones.clone(),
        storage_encrypted: cluster.storage_encrypted,
        kms_key: cluster.kms_key.clone(),
        source: None,
        content: None,
        shared_with: Vec::new(),
        tags,
        failure: None,
    };
    let body = create_snapshot::Body {
        snapshot: uid,
        cluster: cluster.resource_id.clone(),
        wrapped_key,
    };
    Ok((snapshot, body))
}

fn snapshot_job(
    cx: &ActionContext,
    found: &Found,
    snapshot: &Snapshot,
    body: &create_snapshot::Body,
) -> Job {
    let subject = Subject::snapshot(&snapshot.region, &snapshot.account, &snapshot.name);
    let mut job = new_job::<CreateSnapshot>(&cx.service, subject, body);
    job.node = found.node();
    job.pins = pins(&found.cluster);
    job
}

/// What taking a snapshot needs kept: the volume it writes to, and the base it refers to.
pub(super) fn pins(cluster: &Cluster) -> Vec<Pin> {
    vec![Pin {
        region: cluster.region.clone(),
        volume: cluster.volume.clone(),
        manifest: cluster.base.as_ref().map(|base| base.manifest),
    }]
}
