//! Lets another instance of a cluster take its writes: the old writer is ended, the records change
//! roles and addresses, and then the servers do.
//!
//! It does not know why, nor what ends with it: a job's lease is around it. The records change before
//! the new server takes writes, so every later try goes on with the same one.
//!
//! Invariant: a server takes writes only after every process of the old writer's has ended, and with
//! all that it had written into its log.
use std::{cmp::Reverse, time::Duration};

use catalog::{CatalogExt, Tx, clusters as rows, instances, jobs};
use engine::{EngineError, ServerState};
use model::{Cluster, Instance, InstanceId, InstanceRole, InstanceStatus, ResourceId, Told};

use super::{JobError, Reason, create_instance::renew, run::Run};
use crate::{
    clusters::{addresses, files},
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::chain,
};

/// How long the old writer may take to stop in order when it runs: it gives its readers what they
/// lack meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tries at a new writer's address that others take.
const TRIES: usize = 4;

/// The readers that could take writes now, the first choice first, with how far each is.
///
/// # Errors
/// When the engine is not here.
pub(crate) async fn candidates(
    context: &ServiceContext,
    cluster: &Cluster,
    members: &[Instance],
) -> Result<Vec<(Instance, u64)>, EngineError> {
    let engine = context.engine_of(cluster)?;
    let mut found = Vec::new();
    for reader in members.iter().filter(|one| is_ready(context, one)) {
        let home = files::home(context, cluster, &reader.placement);
        let answers = engine.state(&home).await? == ServerState::Answers;
        let state = engine.replica(&home).await.ok();
        if let Some(state) = state.filter(|state| answers && state.follows) {
            found.push((reader.clone(), state.position));
        }
    }
    found.sort_by_key(|(one, position)| (one.promotion_tier, Reverse(*position)));
    Ok(found)
}

fn is_ready(context: &ServiceContext, one: &Instance) -> bool {
    one.role == InstanceRole::Reader
        && one.status == InstanceStatus::Available
        && one.placement.is_whole()
        && one.placement.node == context.settings.node
}

/// Makes another instance than `from` the writer: `target`, or the best there is. Answers it. What
/// goes wrong once the records say so is tried again, for a day if need be.
pub(super) async fn perform(
    run: &Run,
    cluster: &Cluster,
    from: &InstanceId,
    target: Option<&InstanceId>,
) -> Result<Instance, JobError> {
    let members = run.members(cluster).await?;
    if members.iter().any(|one| one.is_writer() && one.id == *from) {
        let target = choose(run, cluster, &members, target).await?;
        patiently(fence(run, cluster, &members).await)?;
        patiently(swap(run, cluster, from, &target).await)?;
    }
    patiently(take_over(run, cluster, from).await)
}

/// What is begun is gone on with: it uses up no tries.
fn patiently<T>(done: Result<T, JobError>) -> Result<T, JobError> {
    done.map_err(|error| match error {
        JobError::Retry(reason) | JobError::Fail(reason) => JobError::Wait(reason),
        other => other,
    })
}

async fn choose(
    run: &Run,
    cluster: &Cluster,
    members: &[Instance],
    target: Option<&InstanceId>,
) -> Result<InstanceId, JobError> {
    let ready = candidates(&run.context, cluster, members).await?;
    let mut ids = ready.into_iter().map(|(one, _)| one.id);
    let chosen = ids.find(|id| target.is_none_or(|target| target == id));
    chosen.ok_or_else(|| {
        let told = Told::new("no reader of the cluster could take its writes");
        JobError::Fail(Reason::new(told, "no reader answers"))
    })
}

/// Ends every process of the writer's.
async fn fence(run: &Run, cluster: &Cluster, members: &[Instance]) -> Result<(), JobError> {
    let engine = run.context.engine_of(cluster)?;
    for writer in members.iter().filter(|one| one.is_writer()) {
        let home = files::home(&run.context, cluster, &writer.placement);
        let patience = match engine.state(&home).await? {
            ServerState::Answers => PATIENCE,
            ServerState::Ended | ServerState::Silent => Duration::ZERO,
        };
        let token = format!("{}-{}", run.job.id, run.lease.fence);
        run.slot
            .waiting(engine.fence(&home, &token, patience))
            .await?;
    }
    run.context.answering.note(&cluster.resource_id, false);
    Ok(())
}

/// Exchanges roles and addresses in the records: the cluster's address stays where writes go.
async fn swap(
    run: &Run,
    cluster: &Cluster,
    from: &InstanceId,
    target: &InstanceId,
) -> Result<(), JobError> {
    let (lease, id) = (run.lease.clone(), cluster.resource_id.clone());
    let (from, target) = (from.clone(), target.clone());
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            exchange(tx, &id, &from, &target, Addresses::Exchanged)
        })
        .await
}

/// What becomes of the addresses of two instances that exchange their roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// The cluster's address stays where writes go.
    Exchanged,
    /// Each keeps its own: they are of two machines.
    Stay,
}

pub(crate) fn exchange(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
    from: &InstanceId,
    target: &InstanceId,
    addresses: Addresses,
) -> Result<(), JobError> {
    let found = rows::get_by_resource_id(tx, cluster)?.ok_or(JobError::Gone)?;
    let mut old = instances::of_id(tx, cluster, from)?.ok_or(JobError::Gone)?;
    let mut new = instances::of_id(tx, cluster, target)?.ok_or(JobError::Gone)?;
    if old.value.role != InstanceRole::Writer {
        return Err(JobError::retry("another instance takes the writes by now"));
    }
    let (before, after) = (&mut old.value, &mut new.value);
    (before.role, after.role) = (InstanceRole::Reader, InstanceRole::Writer);
    if addresses == Addresses::Exchanged {
        let (one, other) = (&mut before.placement, &mut after.placement);
        std::mem::swap(&mut one.host, &mut other.host);
        std::mem::swap(&mut one.port, &mut other.port);
    }
    instances::update(tx, old)?;
    let new = instances::update(tx, new)?;
    instances::relink(tx, &found.value)?;
    kinds::cluster(tx, &found.value, OfCluster::FailoverStarted(&new.value))?;
    Ok(())
}

/// Makes the servers what the records say. All of it may have been done before.
async fn take_over(run: &Run, cluster: &Cluster, from: &InstanceId) -> Result<Instance, JobError> {
    let members = run.members(cluster).await?;
    let writer = members.iter().find(|one| one.is_writer());
    let mut writer = writer.cloned().ok_or(JobError::Gone)?;
    let old = members
        .iter()
        .find(|one| one.id == *from && !one.is_writer());
    let context = &run.context;
    let engine = context.engine_of(cluster)?;
    let fenced = old.map(|old| files::home(context, cluster, &old.placement));
    if let Some(fenced) = &fenced {
        // It may have been started by another try that was cut short.
        run.slot
            .waiting(engine.stop(fenced, Duration::ZERO))
            .await?;
        engine.release(fenced);
    }
    for _ in 0..TRIES {
        let home = files::home(context, cluster, &writer.placement);
        engine.release(&home);
        let promoted = run
            .slot
            .waiting(engine.promote(&home, fenced.as_ref()))
            .await;
        match promoted {
            Err(error) if addresses::is_taken(&error) => {
                writer.placement =
                    addresses::secure(context, cluster, writer.placement.clone()).await?;
            }
            done => {
                done?;
                break;
            }
        }
    }
    if let Some(fenced) = &fenced
        && let Err(error) = engine.hold(fenced)
    {
        tracing::debug!(cluster = %cluster.name, cause = %chain(&error), "the old writer's new address is not held");
    }
    renew(run, cluster, &writer.placement).await?;
    for reader in members
        .iter()
        .filter(|one| is_ready(context, one) && one.id != *from)
    {
        if let Err(error) = renew(run, cluster, &reader.placement).await {
            tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "a reader does not know the new writer yet");
        }
    }
    context.answering.note(&cluster.resource_id, true);
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{SqliteCatalog, conformance::samples};
    use model::SystemClock;

    use super::*;

    #[tokio::test]
    async fn roles_and_addresses_change_places_and_the_others_follow() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = SqliteCatalog::open(&folder.path().join("catalog"), Arc::new(SystemClock));
        let catalog = catalog.expect("a catalog");
        let done = catalog.write(|tx| {
            let cluster = samples::cluster("c");
            rows::insert(tx, cluster.clone())?;
            let old = samples::writer(&cluster);
            instances::insert(tx, old.clone())?;
            let reader = |port| {
                let id = InstanceId::draw(&model::SystemEntropy);
                let mut reader = Instance::reader(&cluster, id, old.placement.clone());
                reader.placement.port = port;
                reader.placement.attempt = "try-1".to_owned();
                reader.status = InstanceStatus::Available;
                reader
            };
            let (new, third) = (reader(7_001), reader(7_002));
            instances::insert(tx, new.clone())?;
            instances::insert(tx, third.clone())?;
            let way = Addresses::Exchanged;
            exchange(tx, &cluster.resource_id, &old.id, &new.id, way)?;
            let all = instances::of_cluster(tx, &cluster.resource_id)?;
            let now = |id: &InstanceId| {
                let found = all.iter().find(|one| one.value.id == *id);
                found.expect("it is kept").value.clone()
            };
            assert!(now(&new.id).is_writer() && !now(&old.id).is_writer());
            assert_eq!(
                now(&new.id).placement.port,
                old.placement.port,
                "the endpoint stays"
            );
            assert_eq!(now(&old.id).placement.port, 7_001);
            for follower in [&old, &third] {
                let followed = now(&follower.id).placement.replication.follows;
                let followed = followed.expect("the writer");
                assert_eq!(followed.member, new.placement.member);
                assert_eq!(followed.port, old.placement.port);
            }
            let again = exchange(tx, &cluster.resource_id, &old.id, &third.id, way);
            assert!(matches!(again, Err(JobError::Retry(_))), "it is no writer");
            Ok::<_, JobError>(())
        });
        done.await.expect("it is good");
    }
}
