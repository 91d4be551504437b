//! Lets another instance of a cluster take its writes: the old writer is ended, the records change
//! roles and addresses, and then the servers do.
//!
//! It does not know why, nor what ends with it: a job's lease is around it. The records change before
//! the new server takes writes, so every later try goes on with the same one; but one that turns out
//! to be unable to, before it took any, changes them back.
//!
//! Invariant: a server takes writes only after every process of the old writer's has ended, and with
//! all that it had written into its log.
use std::{cmp::Reverse, time::Duration};

use catalog::{CatalogExt, Tx, clusters as rows, instances, jobs};
use engine::{Engine, EngineError, Home, Inheritance, ServerState};
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

/// Who could take a cluster's writes.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The readers that could, the first choice first.
    pub(crate) ready: Vec<Instance>,
    /// Why one that follows could not.
    refusal: Option<Reason>,
}

/// The readers that could take writes now without the loss of a commit.
///
/// # Errors
/// When the engine is not here.
pub(crate) async fn candidates(
    context: &ServiceContext,
    cluster: &Cluster,
    members: &[Instance],
) -> Result<Candidates, EngineError> {
    let engine = context.engine_of(cluster)?;
    let Some(writer) = members.iter().find(|one| one.is_writer()) else {
        return Ok(Candidates::default());
    };
    let of_writer = files::home(context, cluster, &writer.placement);
    let (mut found, mut refusal) = (Vec::new(), None);
    for reader in members.iter().filter(|one| is_ready(context, one)) {
        let home = files::home(context, cluster, &reader.placement);
        match standing(&**engine, &home, &of_writer).await? {
            Ok(Some((inherits, position))) => found.push((reader.clone(), inherits, position)),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(cluster = %cluster.name, instance = %reader.id.as_str(), cause = %chain(&error), "a reader cannot take its cluster's writes");
                refusal = Some(Reason::new(error.told(), chain(&error)));
            }
        }
    }
    let is_all = |(_, inherits, _): &(Instance, Inheritance, u64)| *inherits == Inheritance::All;
    if found.iter().all(is_all) {
        found.sort_by_key(|(one, _, position)| (one.promotion_tier, Reverse(*position)));
    } else {
        found = furthest(found, &writer.placement.replication.synchronous);
    }
    let ready = found.into_iter().map(|(one, _, _)| one).collect();
    Ok(Candidates { ready, refusal })
}

/// What a reader would have of what its writer had, and how far it is; none when it does not follow now.
async fn standing(
    engine: &dyn Engine,
    home: &Home,
    writer: &Home,
) -> Result<Result<Option<(Inheritance, u64)>, EngineError>, EngineError> {
    let answers = engine.state(home).await? == ServerState::Answers;
    let state = engine.replica(home).await.ok();
    let Some(state) = state.filter(|state| answers && state.follows) else {
        return Ok(Ok(None));
    };
    let inherits = engine.inheritance(home, writer).await;
    Ok(inherits.map(|inherits| Some((inherits, state.position))))
}

/// The one that has most, when all are there for which commits waited: without the writer's log, one that is
/// not might have more.
fn furthest(
    mut found: Vec<(Instance, Inheritance, u64)>,
    waited_for: &[String],
) -> Vec<(Instance, Inheritance, u64)> {
    let is_there = |name: &String| {
        let mut names = found
            .iter()
            .map(|(one, _, _)| one.placement.replication_name());
        names.any(|there| there == *name)
    };
    if waited_for.is_empty() || !waited_for.iter().all(is_there) {
        return Vec::new();
    }
    found.sort_by_key(|(one, _, position)| (Reverse(*position), one.promotion_tier));
    found.truncate(1);
    found
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
    match take_over(run, cluster, from).await {
        Err(TakeOverError::Cannot { by, reason }) => {
            patiently(give_back(run, cluster, &by, from).await)?;
            Err(JobError::Fail(reason))
        }
        Err(TakeOverError::Job(error)) => patiently(Err(error)),
        Ok(writer) => Ok(writer),
    }
}

/// Why no other server takes the writes yet.
enum TakeOverError {
    /// That instance's cannot, and has taken none.
    Cannot { by: InstanceId, reason: Reason },
    /// Whatever else.
    Job(JobError),
}

impl<E: Into<JobError>> From<E> for TakeOverError {
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
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
    let found = candidates(&run.context, cluster, members).await?;
    let mut ids = found.ready.into_iter().map(|one| one.id);
    let chosen = ids.find(|id| target.is_none_or(|target| target == id));
    chosen.ok_or_else(|| {
        let none = || {
            let told = Told::new("no reader of the cluster could take its writes");
            Reason::new(told, "no reader answers")
        };
        JobError::Fail(found.refusal.unwrap_or_else(none))
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

/// Makes the old writer the one again whose place another one could not take: it has all, and is started as that
/// once nobody fails over.
async fn give_back(
    run: &Run,
    cluster: &Cluster,
    by: &InstanceId,
    to: &InstanceId,
) -> Result<(), JobError> {
    let (lease, id) = (run.lease.clone(), cluster.resource_id.clone());
    let (by, to) = (by.clone(), to.clone());
    let engine = run.context.engine_of(cluster)?;
    for one in run.members(cluster).await? {
        if one.id == by || one.id == to {
            engine.release(&files::home(&run.context, cluster, &one.placement));
        }
    }
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            change_places(tx, &id, &by, &to, Addresses::Exchanged).map(drop)
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
    let (cluster, new) = change_places(tx, cluster, from, target, addresses)?;
    Ok(kinds::cluster(
        tx,
        &cluster,
        OfCluster::FailoverStarted(&new),
    )?)
}

fn change_places(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
    from: &InstanceId,
    target: &InstanceId,
    addresses: Addresses,
) -> Result<(Cluster, Instance), JobError> {
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
    Ok((found.value, new.value))
}

/// Makes the servers what the records say. All of it may have been done before.
async fn take_over(
    run: &Run,
    cluster: &Cluster,
    from: &InstanceId,
) -> Result<Instance, TakeOverError> {
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
            // Without one to give them back to, which is so when the old writer was deleted, it is waited for.
            Err(error @ EngineError::CannotTakeOver { .. }) if old.is_some() => {
                let reason = Reason::new(error.told(), chain(&error));
                let by = writer.id;
                return Err(TakeOverError::Cannot { by, reason });
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

    #[test]
    fn without_the_writers_log_the_one_with_most_goes_first_and_all_must_be_there() {
        let cluster = samples::cluster("c");
        let writer = samples::writer(&cluster);
        let reader = |tier, position| {
            let id = InstanceId::draw(&model::SystemEntropy);
            let mut reader = Instance::reader(&cluster, id, writer.placement.clone());
            reader.promotion_tier = tier;
            (reader, Inheritance::Own, position)
        };
        let found = vec![reader(0, 7), reader(1, 8)];
        let names: Vec<String> = found
            .iter()
            .map(|(one, _, _)| one.placement.replication_name())
            .collect();
        let first = furthest(found.clone(), &names);
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].0.id, found[1].0.id);
        assert!(furthest(found[1..].to_vec(), &names).is_empty());
        assert!(furthest(found, &[]).is_empty(), "no commit waited");
    }

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
