//! Changes a cluster's server: stops it, starts it, starts it anew with what is pending, gives its
//! master user another password.
//!
//! What is under way stands in the cluster's record, and keeps everything else from the server.
use std::time::Duration;

use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, instances, jobs};
use model::{
    Cluster, ClusterName, ClusterStatus, Instance, InstanceStatus, Job, PendingChanges, Placement,
    ResourceId, Timestamp, Told, job::Subject, limits,
};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use super::{
    JobError, on_instance,
    reboot_instance::RebootInstance,
    run::{JobType, Run},
};
use crate::{
    backups::ends,
    clusters::{files, parameters},
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::chain,
    jobs::run::new_job,
};

/// How long a server may take to write down what it must before it is made to end, and recovers at
/// its next start.
const STOP_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What becomes of the secret of a cluster's master user once its password is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretChange {
    /// Its pending version is the current one.
    Promote,
    /// It goes: the owner knows the password.
    Remove,
}

/// What becomes of a cluster's server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is stopped, and stays so.
    Stop,
    /// It is started again.
    Start,
    /// It goes on, changed.
    Alter {
        /// What it keeps of the master user's new password.
        master_verifier: Option<String>,
        /// Whether it is started anew, with what is pending.
        restart: bool,
        /// What becomes of the master user's secret.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<SecretChange>,
    },
}

/// The job's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The cluster.
    pub cluster: ResourceId,
    /// What becomes of it.
    pub change: Change,
}

/// The kind.
#[derive(Debug)]
pub struct ChangeCluster;

impl JobType for ChangeCluster {
    const NAME: &'static str = "change-cluster";
    const WORKS_ON: &'static str = "cluster";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        self::give_up(tx, job, reason)
    }
}

/// Notes in a cluster's record what is under way, and adds the job that does it.
///
/// # Errors
/// `IllegalMove` when the cluster cannot become that now.
pub fn begin(
    context: &ServiceContext,
    tx: &mut dyn Tx,
    mut stored: catalog::Stored<Cluster>,
    status: ClusterStatus,
    change: Change,
) -> Result<catalog::Stored<Cluster>, CatalogError> {
    let cluster = &mut stored.value;
    ends::give_way(tx, cluster)?;
    cluster.status = status;
    let body = Body {
        cluster: cluster.resource_id.clone(),
        change,
    };
    let subject = Subject::cluster(&cluster.region, &cluster.account, &cluster.name);
    let mut job = new_job::<ChangeCluster>(context, subject, &body);
    let writer = instances::writer(tx, &cluster.resource_id)?;
    job.node = writer.map(|writer| writer.value.placement.node);
    jobs::insert(tx, &job)?;
    rows::update(tx, stored)
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let cluster = run.cluster(&body.cluster).await?;
    match body.change {
        Change::Stop => {
            let _turns = end_servers(run, &cluster).await?;
            let to = (ClusterStatus::Stopped, OfCluster::Stopped);
            settle(run, &cluster, to, None).await
        }
        Change::Start => {
            start_servers(run, &cluster).await?;
            let to = (ClusterStatus::Available, OfCluster::Started);
            settle(run, &cluster, to, None).await
        }
        Change::Alter {
            master_verifier,
            restart,
            secret,
        } => {
            if let Some(verifier) = &master_verifier {
                reset(run, &cluster, verifier).await?;
            }
            if restart {
                restart_servers(run, &cluster).await?;
            }
            let told = match restart {
                true => OfCluster::Restarted,
                false => OfCluster::PasswordReset,
            };
            settle(run, &cluster, (ClusterStatus::Available, told), secret).await
        }
    }
}

/// The right to begin or end an instance's server.
type Turn = OwnedMutexGuard<()>;

/// The cluster's instances that have files here, its writer first.
async fn members(run: &Run, cluster: &Cluster) -> Result<Vec<Instance>, JobError> {
    let node = &run.context.settings.node;
    let mut members = run.members(cluster).await?;
    members.retain(|one| one.placement.is_whole() && one.placement.node == *node);
    match members.first().is_some_and(Instance::is_writer) {
        true => Ok(members),
        false => Err(JobError::fail(format!(
            "the cluster {} has no writer that was ever whole",
            cluster.name
        ))),
    }
}

/// Ends the cluster's servers: its writer first, so that its readers have all that it wrote. Until the
/// turns end nobody begins another; then the record says that nobody may.
async fn end_servers(run: &Run, cluster: &Cluster) -> Result<Vec<Turn>, JobError> {
    let engine = run.context.engine_of(cluster)?;
    let mut turns = Vec::new();
    for member in members(run, cluster).await? {
        let home = files::home(&run.context, cluster, &member.placement);
        // A start that is under way ends with its server, and with it its turn.
        run.slot.waiting(engine.stop(&home, STOP_PATIENCE)).await?;
        let turn = run.context.server_turns.of(&member.id);
        turns.push(run.slot.waiting(turn).await);
        run.slot.waiting(engine.stop(&home, STOP_PATIENCE)).await?;
        run.context.answering.note_of(&member, false);
    }
    Ok(turns)
}

/// Starts the cluster's servers, or adopts them. A reader that does not start is seen to by whoever
/// sees to all.
async fn start_servers(run: &Run, cluster: &Cluster) -> Result<(), JobError> {
    for member in members(run, cluster).await? {
        let turn = run.context.server_turns.of(&member.id);
        let _turn = run.slot.waiting(turn).await;
        start_in_turn(run, cluster, &member).await?;
    }
    Ok(())
}

async fn start_in_turn(run: &Run, cluster: &Cluster, member: &Instance) -> Result<(), JobError> {
    let start = parameters::start(&run.context, cluster, member);
    match run.slot.waiting(start).await {
        Ok(_) => {
            // The engine has just had a session with its server.
            run.context.answering.note_of(member, true);
            Ok(())
        }
        Err(error) if member.is_writer() => Err(error),
        Err(error) => {
            tracing::warn!(cluster = %cluster.name, instance = %member.id.as_str(), cause = %chain(&error), "a reader does not start yet");
            Ok(())
        }
    }
}

async fn reset(run: &Run, cluster: &Cluster, verifier: &str) -> Result<(), JobError> {
    start_servers(run, cluster).await?;
    // A start may have given it another address.
    let place = run.placed(cluster).await?;
    let home = files::home(&run.context, cluster, &place);
    let engine = run.context.engine_of(cluster)?;
    let reset = engine.set_master_password(&home, &cluster.master_username, verifier);
    run.slot.waiting(reset).await?;
    Ok(())
}

/// Starts the cluster's servers anew, with the version and the port that are pending.
async fn restart_servers(run: &Run, cluster: &Cluster) -> Result<(), JobError> {
    let engine = run.context.engine_of(cluster)?;
    let home = |place: &Placement| files::home(&run.context, cluster, place);
    let moves = moves(cluster, members(run, cluster).await?);
    // Before a server is ended: a port that another program has costs no outage.
    for (_, new) in &moves {
        engine.hold(&home(new))?;
    }
    let _turns = end_servers(run, cluster).await?;
    for (old, new) in &moves {
        engine.release(&home(old));
        engine.hold(&home(new))?;
    }
    let cluster = note_changes(run, cluster).await?;
    for member in members(run, &cluster).await? {
        start_in_turn(run, &cluster, &member).await?;
    }
    restart_elsewhere(run, &cluster).await
}

/// Has other nodes start the readers anew that they have.
async fn restart_elsewhere(run: &Run, cluster: &Cluster) -> Result<(), JobError> {
    let (lease, context, of) = (run.lease.clone(), run.context.clone(), cluster.clone());
    let asked = run.context.catalog.write(move |tx| {
        jobs::guard(tx, &lease)?;
        for mut stored in instances::of_cluster(tx, &of.resource_id)? {
            let is_here = stored.value.placement.node == context.settings.node;
            if !is_here && stored.value.status == InstanceStatus::Available {
                stored.value.status = InstanceStatus::Rebooting;
                let stored = instances::update(tx, stored)?;
                let job = on_instance::job::<RebootInstance>(&context, &of, &stored.value);
                jobs::insert(tx, &job)?;
            }
        }
        Ok::<_, JobError>(())
    });
    asked.await
}

/// Where the cluster's instances are and will be, of those that another port is pending for: they all
/// have the writer's, but where they share its address.
fn moves(cluster: &Cluster, members: Vec<Instance>) -> Vec<(Placement, Placement)> {
    let writers = members.first().map(|writer| writer.placement.port);
    let Some((port, before)) = cluster.pending.port.zip(writers) else {
        return Vec::new();
    };
    let places = members.into_iter().map(|member| member.placement);
    places
        .filter(|place| place.port == before && place.port != port)
        .map(|old| (old.clone(), Placement { port, ..old }))
        .collect()
}

/// Writes into the records what the servers are begun with from here on.
async fn note_changes(run: &Run, cluster: &Cluster) -> Result<Cluster, JobError> {
    let (lease, id) = (run.lease.clone(), cluster.resource_id.clone());
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            let mut stored = rows::get_by_resource_id(tx, &id)?.ok_or(JobError::Gone)?;
            let PendingChanges {
                port,
                engine_version,
                name,
            } = std::mem::take(&mut *stored.value.pending);
            stored.value.pending.name = name;
            if let Some(version) = &engine_version {
                stored.value.engine_version.clone_from(version);
                kinds::cluster(tx, &stored.value, OfCluster::Upgraded)?;
            }
            if let Some(port) = port {
                note_port(tx, &stored.value, port)?;
            }
            Ok::<_, JobError>(rows::update(tx, stored)?.value)
        })
        .await
}

fn note_port(tx: &mut dyn Tx, cluster: &Cluster, port: u16) -> Result<(), JobError> {
    let writer = instances::writer(tx, &cluster.resource_id)?.ok_or(JobError::Gone)?;
    let from = writer.value.placement.port;
    for mut stored in instances::of_cluster(tx, &cluster.resource_id)? {
        if stored.value.placement.port == from {
            stored.value.placement.port = port;
            instances::update(tx, stored)?;
        }
    }
    instances::relink(tx, cluster)?;
    kinds::cluster(tx, cluster, OfCluster::PortChanged { from, to: port })?;
    Ok(())
}

/// Ends the job: the record says where the cluster stands from here on.
async fn settle(
    run: &Run,
    cluster: &Cluster,
    (status, told): (ClusterStatus, OfCluster<'static>),
    secret: Option<SecretChange>,
) -> Result<(), JobError> {
    let (lease, id) = (run.lease.clone(), cluster.resource_id.clone());
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            let mut stored = rows::get_by_resource_id(tx, &id)?.ok_or(JobError::Gone)?;
            conclude(&mut stored.value, secret, tx.now());
            let stored = stand(tx, stored, status)?;
            kinds::cluster(tx, &stored.value, told)?;
            jobs::finish(tx, &lease, &jobs::End::Done)?;
            Ok::<_, JobError>(())
        })
        .await
}

/// The master user has its new password.
fn conclude(cluster: &mut Cluster, change: Option<SecretChange>, now: Timestamp) {
    match (change, &mut cluster.master_secret) {
        (Some(SecretChange::Promote), Some(secret)) => secret.promote(now),
        (Some(SecretChange::Remove), _) => cluster.master_secret = None,
        _ => {}
    }
}

/// The master user keeps the password it had.
fn abandon(cluster: &mut Cluster, change: Option<SecretChange>, now: Timestamp) {
    if let (Some(SecretChange::Promote), Some(secret)) = (change, &mut cluster.master_secret)
        && !secret.abandon(now)
    {
        cluster.master_secret = None;
    }
}

/// Writes where a cluster stands; one that is stopped starts again by itself in time.
fn stand(
    tx: &mut dyn Tx,
    mut stored: catalog::Stored<Cluster>,
    status: ClusterStatus,
) -> Result<catalog::Stored<Cluster>, CatalogError> {
    let cluster = &mut stored.value;
    cluster.restarts_at = (status == ClusterStatus::Stopped).then(|| {
        cluster
            .restarts_at
            .unwrap_or(tx.now().plus(limits::STOPPED_MAX))
    });
    cluster.status = status;
    rows::update(tx, stored)
}

/// The cluster goes back to where it was; what was pending is forgotten.
fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    let Ok(body) = super::run::body::<Body>(job) else {
        // Its runner has told that; no record says which it was.
        return Ok(());
    };
    let Some(mut stored) = rows::get_by_resource_id(tx, &body.cluster)? else {
        return Ok(());
    };
    if !stored.value.status.is_changing() {
        return Ok(());
    }
    let (status, told) = match body.change {
        Change::Stop => (ClusterStatus::Available, OfCluster::StopFailed),
        Change::Start => (ClusterStatus::Stopped, OfCluster::ChangeFailed(reason)),
        Change::Alter { .. } => (ClusterStatus::Available, OfCluster::ChangeFailed(reason)),
    };
    if matches!(body.change, Change::Alter { restart: true, .. }) {
        let pending = &mut stored.value.pending;
        (pending.port, pending.engine_version) = (None, None);
    }
    if let Change::Alter { secret, .. } = body.change {
        abandon(&mut stored.value, secret, tx.now());
    }
    let stored = stand(tx, stored, status)?;
    kinds::cluster(tx, &stored.value, told)
}

/// What a cluster's record says while what is pending is done.
pub fn status_of(pending: &PendingChanges) -> ClusterStatus {
    match pending.engine_version {
        Some(_) => ClusterStatus::Upgrading,
        None => ClusterStatus::Modifying,
    }
}

/// Gives a cluster another name, and tells it.
///
/// # Errors
/// `Conflict` when the name is taken.
pub fn rename(
    tx: &mut dyn Tx,
    stored: catalog::Stored<Cluster>,
    name: ClusterName,
) -> Result<catalog::Stored<Cluster>, CatalogError> {
    let before = stored.value.name.clone();
    let stored = rows::rename(tx, stored, name)?;
    kinds::cluster(tx, &stored.value, OfCluster::Renamed(before.as_str()))?;
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{SqliteCatalog, conformance::samples};
    use model::{JobKind, SystemClock};

    use super::*;

    fn job(cluster: &Cluster, change: Change) -> Job {
        let body = Body {
            cluster: cluster.resource_id.clone(),
            change,
        };
        Job {
            body: serde_json::to_string(&body).expect("it serializes"),
            ..samples::job(JobKind::of(ChangeCluster::NAME), cluster.name.as_str())
        }
    }

    #[tokio::test]
    async fn a_change_that_is_given_up_leaves_the_cluster_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = SqliteCatalog::open(&folder.path().join("catalog"), Arc::new(SystemClock));
        let catalog = catalog.expect("a catalog");
        let restart = |verifier: Option<&str>| Change::Alter {
            master_verifier: verifier.map(str::to_owned),
            restart: verifier.is_none(),
            secret: None,
        };
        let cases = [
            (
                ClusterStatus::Stopping,
                Change::Stop,
                ClusterStatus::Available,
                true,
            ),
            (
                ClusterStatus::Starting,
                Change::Start,
                ClusterStatus::Stopped,
                true,
            ),
            (
                ClusterStatus::Modifying,
                restart(None),
                ClusterStatus::Available,
                false,
            ),
            (
                ClusterStatus::ResettingMasterCredentials,
                restart(Some("v")),
                ClusterStatus::Available,
                true,
            ),
        ];
        for (number, (during, change, after, keeps_pending)) in cases.into_iter().enumerate() {
            let mut cluster = samples::cluster(&format!("c{number}"));
            cluster.status = during;
            cluster.pending.port = Some(5_555);
            let done = catalog.write(move |tx| {
                let stored = rows::insert(tx, cluster.clone())?;
                let id = &stored.value.resource_id;
                let job = job(&stored.value, change.clone());
                for _ in 0..2 {
                    // A second time it changes nothing.
                    give_up(tx, &job, &Told::INTERNAL)?;
                    let now = rows::get_by_resource_id(tx, id)?.expect("it is kept").value;
                    assert_eq!(now.status, after);
                    assert_eq!(now.pending.port.is_some(), keeps_pending, "{after:?}");
                    let is_stopped = after == ClusterStatus::Stopped;
                    assert_eq!(
                        now.restarts_at.is_some(),
                        is_stopped,
                        "it starts by itself in time"
                    );
                }
                Ok::<_, CatalogError>(())
            });
            done.await.expect("it is good");
        }
    }
}
