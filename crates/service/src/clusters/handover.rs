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
    jobs, nodes,
};
use model::{
    Cluster, ClusterStatus, Handover, Instance, InstanceId, InstanceStatus, JobKind, ResourceId,
    Spread, Standing, Told, limits,
};

use crate::{
    events::kinds::{self, OfCluster},
    jobs::{
        JobError, create_snapshot,
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

/// Whether a cluster's readers could all leave its writer now: they are there, and so are their nodes.
///
/// # Errors
/// The catalog's.
pub fn can_begin(tx: &mut dyn Tx, cluster: &ResourceId) -> Result<bool, CatalogError> {
    let now = tx.now();
    let found = members(tx, cluster)?;
    let readers: Vec<&Instance> = found.iter().filter(|one| !one.is_writer()).collect();
    for reader in &readers {
        let is_there = reader.status == InstanceStatus::Available && reader.placement.is_whole();
        let node = nodes::get(tx, &reader.placement.node)?;
        let lives = node.is_some_and(|node| {
            node.state != nodes::NodeState::Stopped
                && now.since(node.heartbeat_at) < limits::NODE_SILENCE
        });
        if !is_there || !lives {
            return Ok(false);
        }
    }
    Ok(!readers.is_empty())
}

/// Begins a handover of an available cluster's writes from an instance that takes them. Answers whether
/// one is under way then.
///
/// # Errors
/// The catalog's.
pub fn begin(
    tx: &mut dyn Tx,
    cluster: &ResourceId,
    handover: impl FnOnce(Handover) -> Handover,
    from: &InstanceId,
) -> Result<bool, CatalogError> {
    let Some(mut stored) = rows::get_by_resource_id(tx, cluster)? else {
        return Ok(false);
    };
    let writer = instances::writer(tx, cluster)?;
    if writer.is_none_or(|writer| writer.value.id != *from) {
        return Ok(true);
    }
    match stored.value.status {
        ClusterStatus::FailingOver => return Ok(true),
        ClusterStatus::Available if can_begin(tx, cluster)? => {}
        _ => return Ok(false),
    }
    let since = tx.now();
    let Some(spread) = &mut stored.value.spread else {
        return Ok(false);
    };
    spread.handover = Some(handover(Handover::new(from.clone(), since)));
    stored.value.status = ClusterStatus::FailingOver;
    rows::update(tx, stored)?;
    Ok(true)
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

/// Notes that the old writer's own node has ended it, or, once that has waited for long, gives the
/// handover up: the readers follow it again.
///
/// # Errors
/// The catalog's.
pub(super) fn ended(tx: &mut dyn Tx, member: &Member, term: u64) -> Result<(), CatalogError> {
    let cluster = &member.instance.cluster;
    let Some((mut stored, mut spread, mut handover)) = undecided(tx, cluster, term)? else {
        return Ok(());
    };
    if tx.now().since(handover.since) < UNDECIDED_MAX {
        handover.ended = true;
        spread.handover = Some(handover);
        stored.value.spread = Some(Box::new(spread));
        rows::update(tx, stored)?;
        return Ok(());
    }
    spread.term += 1;
    spread.handover = None;
    stored.value.spread = Some(Box::new(spread));
    stored.value.status = ClusterStatus::Available;
    let stored = rows::update(tx, stored)?;
    instances::relink(tx, &stored.value)?;
    let reason = Told::new("not all of its readers left the writer in time, so it goes on");
    kinds::cluster(tx, &stored.value, OfCluster::FailoverFailed(&reason))
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
