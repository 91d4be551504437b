//! Rotation: a secret's next password, by itself when it is due, and when its owner asks.
//!
//! The version to be is kept before the database has its password, and becomes the current one in
//! the transaction that ends the change: whoever reads the secret finds a password that the
//! database had when it was read.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, Stored, Tx, clusters as rows};
use model::{Cluster, ClusterStatus, ResourceId, SecretStatus, SecretVersion, Stage, Timestamp};

use super::value::draw;
use crate::{
    background::{Next, Task, TaskError},
    clusters::here,
    context::ServiceContext,
    fault::{Code, Fault},
    jobs::change_cluster::{self, Change, SecretChange},
};

const PERIOD: Duration = Duration::from_secs(30);
/// When a rotation is tried again whose key could not be used.
const RETRY: Duration = Duration::from_secs(3_600);

/// A secret's next password, sealed, and as the cluster's server is to keep it.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The version to be.
    pub version: SecretVersion,
    /// What the server keeps of it.
    pub master_verifier: String,
}

/// Draws a secret's next password; `id` is the name that the caller gives its version.
///
/// # Errors
/// When the cluster has no secret, or its key cannot be used.
pub async fn next(
    context: &ServiceContext,
    cluster: &Cluster,
    id: Option<String>,
) -> Result<Rotation, Fault> {
    let Some(secret) = &cluster.master_secret else {
        return Err(Fault::combination(format!(
            "The password of the cluster {} is not managed in AWS Secrets Manager.",
            cluster.name
        )));
    };
    let drawn = draw(context, cluster, secret, Stage::Pending, id).await?;
    let engine = context.engine_of(cluster);
    let engine = engine.map_err(|error| Fault::internal(&error))?;
    Ok(Rotation {
        master_verifier: engine.verifier(&drawn.password),
        version: drawn.version,
    })
}

/// Writes into a cluster's record which password is to be its master user's.
///
/// # Errors
/// When its password is not managed any more.
pub fn note(cluster: &mut Cluster, rotation: &Rotation, now: Timestamp) -> Result<(), Fault> {
    let Some(secret) = &mut cluster.master_secret else {
        return Err(Fault::new(
            Code::ServiceUnavailable,
            "The cluster was changed by another request at the same time. Try again.",
        ));
    };
    secret.stage(rotation.version.clone(), now);
    secret.status = SecretStatus::Rotating;
    Ok(())
}

/// Begins the rotation of an available cluster's secret.
///
/// # Errors
/// As [`note`], and the catalog's.
pub fn begin(
    context: &ServiceContext,
    tx: &mut dyn Tx,
    mut stored: Stored<Cluster>,
    rotation: &Rotation,
) -> Result<Stored<Cluster>, Fault> {
    note(&mut stored.value, rotation, tx.now())?;
    let change = Change::Alter {
        master_verifier: Some(rotation.master_verifier.clone()),
        restart: false,
        secret: Some(SecretChange::Promote),
    };
    let status = ClusterStatus::ResettingMasterCredentials;
    Ok(change_cluster::begin(context, tx, stored, status, change)?)
}

fn is_due(cluster: &Cluster, now: Timestamp) -> bool {
    let secret = cluster.master_secret.as_ref();
    cluster.status == ClusterStatus::Available && secret.is_some_and(|one| one.rotates_at <= now)
}

/// The task: each node sees to the clusters whose writers it has.
#[derive(Debug, Default)]
pub(crate) struct SecretRotation;

#[async_trait]
impl Task for SecretRotation {
    fn name(&self) -> String {
        "secret_rotation".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        PERIOD
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let mut due = here::due(context, is_due).await?;
        due.retain(|member| member.instance.is_writer());
        let mut first = Ok(Next::Period);
        for member in due {
            if let Err(fault) = rotate(context, &member.cluster).await {
                let what = format!("the secret of {} was not rotated", member.cluster.name);
                put_off(context, member.cluster.resource_id).await?;
                let failed = TaskError::doing(&what, &fault);
                // A key that its owner took away is no failure of the task.
                match fault.code {
                    Code::KmsKeyNotAccessible => tracing::info!("{failed}"),
                    _ => first = first.and(Err(failed)),
                }
            }
        }
        first
    }
}

async fn rotate(context: &Arc<ServiceContext>, cluster: &Cluster) -> Result<(), Fault> {
    let rotation = next(context, cluster, None).await?;
    let (asked, id) = (context.clone(), cluster.resource_id.clone());
    context
        .catalog
        .write(move |tx| match here::still_due(tx, &id, is_due)? {
            Some(stored) => begin(&asked, tx, stored, &rotation).map(drop),
            None => Ok(()),
        })
        .await
}

/// Says of a secret that it could not be rotated, and when that is tried again.
async fn put_off(context: &ServiceContext, id: ResourceId) -> Result<(), CatalogError> {
    context
        .catalog
        .write(move |tx| {
            let Some(mut stored) = here::still_due(tx, &id, is_due)? else {
                return Ok(());
            };
            if let Some(secret) = &mut stored.value.master_secret {
                secret.status = SecretStatus::Impaired;
                secret.rotates_at = tx.now().plus(RETRY);
            }
            rows::update(tx, stored).map(drop)
        })
        .await
}
