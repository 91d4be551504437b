//! Hands over the writes of a Multi-AZ DB cluster whose instances are on several nodes: what the records
//! say of it, step by step. Each step is one transaction, which any node may find done already.
//!
//! It does not know how servers are ended and promoted, nor who sees to it.
//!
//! Invariant: the records name another writer only once every reader has left the old one, and it is the
//! reader with the most log; so it has every commit that a client was told of, and the old writer, which
//! nobody need reach, can tell nobody of another one.
use std::{net::IpAddr, time::Duration};

use catalog::{
    CatalogError, Stored, Tx, clusters as rows,
    instances::{self, Member},
    jobs,
};
use model::{
    Cluster, ClusterStatus, Handover, Instance, InstanceId, JobKind, ResourceId, Spread, Standing,
    Told,
};

use super::obstacle::{self, Obstacle};
use crate::{
    events::kinds::{self, OfCluster},
    jobs::{
        JobError,
        change_cluster::{self, ChangeCluster},
        create_snapshot,
        failover::{Addresses, exchange},
        run::{JobType, body},
    },
};

/// A handover that is not decided in this time is given up, if the old writer's node is there.
const UNDECIDED_MAX: Duration = Duration::from_secs(60);

/// A cluster's readers but one that takes its writes, with their tiers.
fn readers(members: &[Instance]) -> Vec<(InstanceId, u8)> {
    let readers = members.iter().filter(|one| !one.is_writer());
    readers
        .map(|one| (one.id.clone(), one.promotion_tier))
        .collect()
}

fn members(tx: &mut dyn Tx, cluster: &ResourceId) -> Result<Vec<Instance>, CatalogError> {
    let found = instances::of_cluster(tx, cluster)?;
    Ok(found.into_iter().map(|stored| stored.value).collect())
}

/// Begins a handover of an available cluster's writes from an instance that takes them. Answers why none
/// can be; nothing when one is under way then.
///
/// # Errors
/// The catalog's.
pub fn begin(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
    handover: impl FnOnce(Handover) -> Handover,
    from: &InstanceId,
) -> Result<Option<Obstacle>, CatalogError> {
    let Some(mut stored) = rows::get_by_resource_id(tx, cluster)? else {
        return Ok(None);
    };
    let writer = instances::writer(tx, cluster)?;
    if writer.is_none_or(|writer| writer.value.id != *from) {
        return Ok(None);
    }
    match stored.value.status {
        ClusterStatus::FailingOver => return Ok(None),
        ClusterStatus::Available => {}
        other => return Ok(Some(Obstacle::Cluster(other))),
    }
    if let Some(obstacle) = obstacle::of_readers(tx, &stored.value)? {
        return Ok(Some(obstacle));
    }
    let since = tx.now();
    let Some(spread) = &mut stored.value.spread else {
        return Ok(None);
    };
    spread.handover = Some(handover(Handover::new(from.clone(), since)));
    stored.value.status = ClusterStatus::FailingOver;
    rows::update(tx, stored)?;
    Ok(None)
}

/// The same when the writer's node is gone. A change of the cluster that only that could have gone on with
/// is given up for it: its owner is told, and asks again.
///
/// # Errors
/// The catalog's.
pub(super) fn begin_without_its_node(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
    from: &InstanceId,
) -> Result<Option<Obstacle>, CatalogError> {
    let Some(stored) = rows::get_by_resource_id(tx, cluster)? else {
        return Ok(None);
    };
    let writer = instances::writer(tx, cluster)?;
    let Some(writer) = writer.filter(|writer| writer.value.id == *from) else {
        return Ok(None);
    };
    if is_given_up_without_its_node(stored.value.status)
        && obstacle::of_readers(tx, &stored.value)?.is_none()
    {
        give_up_change(tx, stored, &writer.value.placement.node)?;
    }
    begin(tx, cluster, |new| new, from)
}

/// Whether what is being done with a cluster is given up when its writer's node is gone. One that is being
/// stopped waits for the node: nobody wants to write to it.
pub(super) fn is_given_up_without_its_node(status: ClusterStatus) -> bool {
    status.is_changing() && !matches!(status, ClusterStatus::FailingOver | ClusterStatus::Stopping)
}

fn give_up_change(
    tx: &mut dyn Tx,
    mut stored: Stored<Cluster>,
    node: &str,
) -> Result<(), CatalogError> {
    let kind = JobKind::of(ChangeCluster::NAME);
    let told = Told::new(
        "the node of the cluster's writer is not heard of, and another instance takes its place",
    );
    for job in jobs::bound_to(tx, node)? {
        let of = body::<change_cluster::Body>(&job).ok();
        let is_its = of.is_some_and(|body| body.cluster == stored.value.resource_id);
        if job.kind != kind || !is_its {
            continue;
        }
        jobs::fail(tx, &job, "the node of the cluster's writer is not heard of")?;
        if stored.value.status == ClusterStatus::Starting {
            // That is what a handover does, too.
            stored.value.status = ClusterStatus::Available;
            rows::update(tx, stored)?;
            return Ok(());
        }
        return ChangeCluster::give_up(tx, &job, &told);
    }
    Ok(())
}

/// The cluster whose handover in this term is not decided yet.
fn undecided(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
    term: u64,
) -> Result<Option<(Stored<Cluster>, Spread, Handover)>, CatalogError> {
    let Some(stored) = rows::get_by_resource_id(tx, cluster)? else {
        return Ok(None);
    };
    let spread = stored.value.spread.as_deref().cloned();
    let goes_on = stored.value.status == ClusterStatus::FailingOver;
    let Some(spread) = spread.filter(|spread| goes_on && spread.term == term) else {
        return Ok(None);
    };
    let handover = spread.handover.clone();
    let open = handover.filter(|handover| handover.chosen.is_none());
    Ok(open.map(|handover| (stored, spread, handover)))
}

/// Notes that the old writer's own node has ended it.
///
/// # Errors
/// The catalog's.
pub(super) fn ended(tx: &mut dyn Tx, member: &Member, term: u64) -> Result<(), CatalogError> {
    let cluster = &member.instance.cluster;
    let Some((mut stored, mut spread, mut handover)) = undecided(tx, cluster, term)? else {
        return Ok(());
    };
    handover.ended = true;
    spread.handover = Some(handover);
    stored.value.spread = Some(Box::new(spread));
    rows::update(tx, stored)?;
    Ok(())
}

/// Whether a handover of that age is not waited for any longer: a reader cannot leave.
pub(super) fn is_vain(spread: &Spread, age: Duration) -> bool {
    UNDECIDED_MAX <= age || !spread.unready.is_empty()
}

/// Gives a handover up that is not decided: the readers follow the old writer again.
///
/// # Errors
/// The catalog's.
pub(super) fn give_up(tx: &mut dyn Tx, member: &Member, term: u64) -> Result<(), CatalogError> {
    let cluster = &member.instance.cluster;
    let Some((mut stored, mut spread, handover)) = undecided(tx, cluster, term)? else {
        return Ok(());
    };
    if !is_vain(&spread, tx.now().since(handover.since)) {
        return Ok(());
    }
    let why = match spread.unready.is_empty() {
        true => "not all of its readers left the writer in time, so it goes on",
        false => "a reader is being copied anew from the writer, so it goes on",
    };
    spread.term += 1;
    spread.handover = None;
    stored.value.spread = Some(Box::new(spread));
    stored.value.status = ClusterStatus::Available;
    let stored = rows::update(tx, stored)?;
    instances::relink(tx, &stored.value)?;
    let reason = Told::new(why);
    kinds::cluster(tx, &stored.value, OfCluster::FailoverFailed(&reason))
}

/// Notes whether a member has all of its files. A writer has.
///
/// # Errors
/// The catalog's.
pub(super) fn note_files(
    tx: &mut dyn Tx,
    member: &Member,
    is_whole: bool,
) -> Result<(), CatalogError> {
    let Some(mut stored) = rows::get_by_resource_id(tx, &member.instance.cluster)? else {
        return Ok(());
    };
    let id = &member.instance.id;
    let Some(spread) = &mut stored.value.spread else {
        return Ok(());
    };
    if is_whole != spread.unready.contains(id) {
        return Ok(());
    }
    match is_whole {
        true => spread.unready.retain(|one| one != id),
        false => spread.unready.push(id.clone()),
    }
    rows::update(tx, stored)?;
    Ok(())
}

/// Notes that a reader has left the old writer, and, when it is the last one, who takes the writes: from
/// here on it stays the same.
///
/// # Errors
/// The catalog's.
pub(super) fn left(
    tx: &mut dyn Tx,
    member: &Member,
    term: u64,
    standing: Standing,
) -> Result<(), JobError> {
    let cluster = &member.instance.cluster;
    let Some((mut stored, mut spread, mut handover)) = undecided(tx, cluster, term)? else {
        return Ok(());
    };
    handover.left.retain(|(one, _)| *one != member.instance.id);
    handover.left.push((member.instance.id.clone(), standing));
    let all = members(tx, cluster)?;
    let chosen = handover.choose(spread.begins, &readers(&all));
    let from = handover.from.clone();
    if let Some(chosen) = &chosen {
        let stands = handover.left.iter().find(|(one, _)| one == chosen);
        spread.begins = stands.map(|(_, standing)| *standing);
        spread.term += 1;
        handover.chosen = Some(chosen.clone());
    }
    spread.handover = Some(handover);
    stored.value.spread = Some(Box::new(spread));
    let stored = rows::update(tx, stored)?;
    let Some(chosen) = chosen else {
        return Ok(());
    };
    exchange(tx, cluster, &from, &chosen, addresses(&all, &from, &chosen))?;
    let node = |id: &InstanceId| {
        let found = all.iter().find(|one| one.id == *id);
        found.map(|one| one.placement.node.clone())
    };
    if let (Some(old), Some(new)) = (node(&from), node(&chosen)) {
        rebind(tx, &stored.value, &old, &new)?;
    }
    Ok(())
}

/// The cluster's address goes with its writes where both can have it: among the addresses that every
/// machine has for itself, which the nodes of one machine share. Another machine's cannot be had here.
fn addresses(members: &[Instance], from: &InstanceId, to: &InstanceId) -> Addresses {
    let host = |id: &InstanceId| {
        let found = members.iter().find(|one| one.id == *id)?;
        found.placement.host.parse::<IpAddr>().ok()
    };
    let is_shared = |id| host(id).is_some_and(|host| host.is_loopback());
    match is_shared(from) && is_shared(to) {
        true => Addresses::Exchanged,
        false => Addresses::Stay,
    }
}

/// Gives the new writer's node what only the writer's can do: snapshots that are being taken.
fn rebind(tx: &mut dyn Tx, cluster: &Cluster, old: &str, new: &str) -> Result<(), CatalogError> {
    let kind = JobKind::of(create_snapshot::CreateSnapshot::NAME);
    for job in jobs::bound_to(tx, old)? {
        let of = body::<create_snapshot::Body>(&job).ok();
        let is_its = of.is_some_and(|body| body.cluster == cluster.resource_id);
        if job.kind == kind && is_its {
            jobs::rebind(tx, job.id, new)?;
        }
    }
    Ok(())
}

/// Notes that the new writer takes writes.
///
/// # Errors
/// The catalog's.
pub(super) fn done(tx: &mut dyn Tx, member: &Member) -> Result<(), CatalogError> {
    let Some(mut stored) = rows::get_by_resource_id(tx, &member.instance.cluster)? else {
        return Ok(());
    };
    let Some(spread) = &mut stored.value.spread else {
        return Ok(());
    };
    let is_it = |handover: &Handover| handover.chosen.as_ref() == Some(&member.instance.id);
    // Somebody may have begun to delete it meanwhile.
    let goes_on = stored.value.status == ClusterStatus::FailingOver;
    if !goes_on || !spread.handover.as_ref().is_some_and(is_it) {
        return Ok(());
    }
    spread.handover = None;
    stored.value.status = ClusterStatus::Available;
    let stored = rows::update(tx, stored)?;
    instances::relink(tx, &stored.value)?;
    kinds::cluster(tx, &stored.value, OfCluster::FailedOver(&member.instance))
}

#[cfg(test)]
mod tests;
