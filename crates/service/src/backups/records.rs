//! The record of a new snapshot of a cluster, and the job that takes it.
use catalog::{CatalogError, Tx, snapshots};
use model::{
    Cluster, Job, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus, Tag,
    job::{Pin, Subject},
};

use crate::{
    context::ServiceContext,
    events::kinds,
    fault::Fault,
    jobs::{
        create_snapshot::{Body, CreateSnapshot},
        new_job,
    },
    keys::{RdsUse, snapshot_context},
};

/// What is asked for.
#[derive(Debug)]
pub struct Asked {
    /// The snapshot's name.
    pub name: SnapshotName,
    /// Who asks.
    pub kind: SnapshotKind,
    /// Its tags; without any it gets the cluster's, where the cluster says so.
    pub tags: Vec<Tag>,
}

/// A new snapshot's record, and what its job needs: the data key is drawn now, so that a key
/// that cannot be used refuses the request instead of failing the job. `port` is the cluster's.
///
/// # Errors
/// `KMSKeyNotAccessibleFault`.
pub async fn prepare(
    context: &ServiceContext,
    cluster: &Cluster,
    port: Option<u16>,
    asked: Asked,
) -> Result<(Snapshot, Body), Fault> {
    let now = context.now();
    let uid = context.entropy.uuid();
    let wrapped_key = match &cluster.kms_key {
        None => None,
        Some(arn) => {
            let user = RdsUse::new(&*context.keys, &cluster.account, &cluster.region);
            let key = user.target(&arn.to_string()).await?;
            let bound = snapshot_context(&cluster.account, &uid, &cluster.volume);
            Some(user.generate(&key, bound).await?.1)
        }
    };
    let tags = match asked.tags.is_empty() && cluster.copy_tags_to_snapshot {
        true => cluster.tags.clone(),
        false => asked.tags,
    };
    let snapshot = Snapshot {
        region: cluster.region.clone(),
        account: cluster.account.clone(),
        name: asked.name,
        uid,
        status: SnapshotStatus::Creating,
        percent_progress: 0,
        kind: asked.kind,
        created_at: now,
        recorded_at: now,
        cluster_name: cluster.name.clone(),
        cluster_resource_id: cluster.resource_id.clone(),
        cluster_created_at: cluster.created_at,
        engine: cluster.engine.clone(),
        engine_version: cluster.engine_version.clone(),
        engine_mode: cluster.engine_mode.clone(),
        master_username: cluster.master_username.clone(),
        port: match cluster.is_aurora() {
            true => 0,
            false => port.unwrap_or(0),
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
        in_log: None,
        tags,
        failure: None,
        recovery_point: None,
    };
    let body = Body {
        snapshot: uid,
        cluster: cluster.resource_id.clone(),
        wrapped_key,
    };
    Ok((snapshot, body))
}

/// The job that takes a snapshot, for the node that has the cluster's files.
pub fn job(
    context: &ServiceContext,
    cluster: &Cluster,
    node: Option<String>,
    snapshot: &Snapshot,
    body: &Body,
) -> Job {
    let subject = Subject::snapshot(&snapshot.region, &snapshot.account, &snapshot.name);
    let mut job = new_job::<CreateSnapshot>(context, subject, body);
    job.node = node;
    job.pins = pins(cluster);
    job
}

/// What taking a snapshot needs kept: the volume it writes to, and the base it refers to.
pub fn pins(cluster: &Cluster) -> Vec<Pin> {
    vec![Pin {
        region: cluster.region.clone(),
        volume: cluster.volume.clone(),
        manifest: cluster.base.as_ref().map(|base| base.manifest),
    }]
}

/// Keeps a new snapshot's record, and its event.
///
/// # Errors
/// `Conflict` when its name is taken.
pub fn insert(tx: &mut dyn Tx, snapshot: Snapshot) -> Result<Snapshot, CatalogError> {
    let stored = snapshots::insert(tx, snapshot)?;
    kinds::snapshot_is(tx, &stored.value)?;
    Ok(stored.value)
}
