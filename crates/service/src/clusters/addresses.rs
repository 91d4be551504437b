//! The address of each cluster: chosen at its creation, held until its server has it, and chosen
//! anew when another program has it by the time that the server is to start.
//!
//! It does not know how an address is held; the engine does.
use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use catalog::{CatalogExt, Stored, clusters as rows, instances};
use engine::{Engine, EngineError, Eviction, Home, ServerState};
use model::{Cluster, Instance, Placement};

use super::{
    address_range::{AddressRange, ClusterAddresses},
    here,
};
use crate::{
    clusters::files::home,
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    fault::{Code, Fault, chain},
    jobs::JobError,
};

/// Addresses that are tried for one cluster beside those that other clusters have.
const ADDRESSES_TRIED_MAX: usize = 256;
/// Addresses on which a port is tried before it is taken for in use on all.
const TAKEN_MAX: usize = 8;
/// Starts of a server in a row whose address others took in the moment before it was bound.
const STARTS_MAX: usize = 6;

/// The port that is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct PortRequest {
    /// The caller asks for this one and takes no other.
    pub asked: Option<u16>,
    /// Otherwise this one, where it can be had.
    pub like: Option<u16>,
}

/// Why no address was found.
struct Nowhere {
    /// All that were tried are none of this machine's.
    absent: bool,
}

/// Finds and holds an address for an instance without a server (`member` tells it from its cluster's
/// others). Other instances, on this node and elsewhere, and other programs are left alone.
///
/// # Errors
/// A port that was asked for and cannot be had; a range without a free address.
pub async fn choose(
    context: &ServiceContext,
    cluster: &Cluster,
    member: &str,
    wanted: PortRequest,
) -> Result<Placement, Fault> {
    let placed = here::members(context).await?;
    let taken: HashSet<(String, u16)> = placed
        .into_iter()
        .map(|member| member.instance)
        .filter(|one| one.cluster != cluster.resource_id || one.placement.member != member)
        .map(|one| (one.placement.host, one.placement.port))
        .collect();
    let engine = context
        .engine_of(cluster)
        .map_err(|error| Fault::internal(&error))?;
    let search = Search {
        context,
        engine: &**engine,
        cluster,
        member,
        taken,
    };
    match &context.settings.cluster_addresses {
        ClusterAddresses::Shared(host) => search.shared(*host, wanted),
        ClusterAddresses::Own(range) => search.own(*range, wanted),
    }
}

struct Search<'a> {
    context: &'a ServiceContext,
    engine: &'a dyn Engine,
    cluster: &'a Cluster,
    member: &'a str,
    /// What this node's other instances have, with servers or without.
    taken: HashSet<(String, u16)>,
}

impl Search<'_> {
    /// The port of a cluster with an address of its own, as in RDS; on a shared address it is left
    /// to the machine's own database.
    fn default_port(&self) -> u16 {
        self.engine.profile().default_port
    }

    fn shared(&self, host: IpAddr, wanted: PortRequest) -> Result<Placement, Fault> {
        let ports = &self.context.settings.cluster_ports;
        let free = |port: u16| {
            let taken = self.taken.contains(&(host.to_string(), port));
            if taken || port == self.default_port() {
                return Ok(None);
            }
            self.hold(host, port).map(Result::ok)
        };
        if let Some(port) = wanted.asked {
            let why = if port == self.default_port() {
                format!(
                    "left to this machine's own {}, because all clusters are on one address",
                    self.engine.profile().title
                )
            } else {
                "taken by another cluster or program".to_owned()
            };
            return free(port)?.ok_or_else(|| {
                Fault::value(format!(
                    "Port {port} of {host} is {why}. Leave Port out to be given one, and read it from the answer's Port."
                ))
            });
        }
        for port in ports.clone() {
            if let Some(place) = free(port)? {
                return Ok(place);
            }
        }
        Err(Fault::new(
            Code::DbClusterQuotaExceeded,
            format!(
                "No port from {} to {} of {host} is free.",
                ports.start(),
                ports.end()
            ),
        ))
    }

    fn own(&self, range: AddressRange, wanted: PortRequest) -> Result<Placement, Fault> {
        let first = wanted.asked.or(wanted.like);
        let first = first.unwrap_or(self.default_port());
        let mut nowhere = match self.at_port(range, first)? {
            Ok(place) => return Ok(place),
            Err(nowhere) => nowhere,
        };
        if wanted.asked.is_none() {
            // Some program listens on all addresses at that port.
            for port in std::iter::once(self.default_port())
                .chain(self.context.settings.cluster_ports.clone())
            {
                nowhere = match self.at_port(range, port)? {
                    Ok(place) => return Ok(place),
                    Err(nowhere) => nowhere,
                };
                if nowhere.absent {
                    break;
                }
            }
        }
        Err(match (nowhere.absent, wanted.asked) {
            (true, _) => Fault::new(
                Code::InsufficientStorageClusterCapacity,
                format!(
                    "No address from {range} is free for a cluster: none is this machine's, or other clusters have them. \
                     Give the machine addresses of that range, or the server another range with --cluster-addresses."
                ),
            ),
            (false, Some(port)) => Fault::value(format!(
                "Port {port} is taken on the addresses that clusters have here: another program listens at it on all of them. \
                 Ask for another Port, or leave Port out to be given one."
            )),
            (false, None) => Fault::new(
                Code::DbClusterQuotaExceeded,
                format!("No address from {range} has a free port."),
            ),
        })
    }

    fn at_port(&self, range: AddressRange, port: u16) -> Result<Result<Placement, Nowhere>, Fault> {
        let hosts: HashSet<&String> = self.taken.iter().map(|(host, _)| host).collect();
        let start = u128::from_le_bytes(self.context.entropy.draw());
        let free = range
            .from(start)
            .filter(|ip| !hosts.contains(&ip.to_string()))
            .take(ADDRESSES_TRIED_MAX);
        let mut in_use = 0;
        for host in free {
            match self.hold(host, port)? {
                Ok(place) => return Ok(Ok(place)),
                Err(EngineError::PortInUse { .. }) => in_use += 1,
                Err(_) => {}
            }
            if in_use == TAKEN_MAX {
                break;
            }
        }
        Ok(Err(Nowhere {
            absent: in_use == 0,
        }))
    }

    /// Holds an address, or answers who has it.
    fn hold(&self, host: IpAddr, port: u16) -> Result<Result<Placement, EngineError>, Fault> {
        let place = Placement {
            node: self.context.settings.node.clone(),
            host: host.to_string(),
            port,
            os_uid: None,
            attempt: String::new(),
            member: self.member.to_owned(),
            replication: model::instance::Replication::default(),
        };
        match self.engine.hold(&home(self.context, self.cluster, &place)) {
            Ok(()) => Ok(Ok(place)),
            Err(error) if is_taken(&error) => Ok(Err(error)),
            Err(error) => Err(Fault::internal(&error)),
        }
    }
}

pub(crate) fn is_taken(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::PortInUse { .. } | EngineError::NoSuchAddress { .. }
    )
}

/// Refuses a port that a cluster of this node cannot have at its own host. One that it is to have at
/// once is held for it.
///
/// # Errors
/// `InvalidParameterValue` that says who has the port.
pub async fn check_port(
    context: &ServiceContext,
    cluster: &Cluster,
    place: &Placement,
    port: u16,
    at_once: bool,
) -> Result<(), Fault> {
    let placed = here::members(context).await?;
    let engine = context
        .engine_of(cluster)
        .map_err(|error| Fault::internal(&error))?;
    let profile = engine.profile();
    let is_shared = matches!(
        context.settings.cluster_addresses,
        ClusterAddresses::Shared(_)
    );
    let host = &place.host;
    if is_shared && port == profile.default_port {
        return Err(Fault::value(format!(
            "Port {port} of {host} is left to this machine's own {}, because all clusters are on one address.",
            profile.title
        )));
    }
    let taken = || {
        Fault::value(format!(
            "Port {port} of {host} is taken by another cluster or program."
        ))
    };
    let others = placed.iter().map(|member| &member.instance);
    let mut others = others.filter(|one| one.cluster != cluster.resource_id);
    if others.any(|one| (&one.placement.host, one.placement.port) == (host, port)) {
        return Err(taken());
    }
    let moved = Placement {
        port,
        ..place.clone()
    };
    if !at_once {
        return Ok(());
    }
    engine
        .hold(&home(context, cluster, &moved))
        .map_err(|error| match is_taken(&error) {
            true => taken(),
            false => Fault::internal(&error),
        })
}

/// Lets go of the address of a cluster's writer.
pub fn release(context: &ServiceContext, cluster: &Cluster, place: &Placement) {
    if let Ok(engine) = context.engine_of(cluster) {
        engine.release(&home(context, cluster, place));
    }
}

/// Holds the address of a cluster whose server is about to start. Where another program has it,
/// the cluster is given another one, in its record too, and an event says so. One that was asked for on
/// another node gets its first one here.
///
/// # Errors
/// The catalog's; a range without a free address; what the system says.
pub async fn secure(
    context: &ServiceContext,
    cluster: &Cluster,
    place: Placement,
) -> Result<Placement, JobError> {
    if !place.has_address() {
        let like = place.replication.follows.as_ref().map(|writer| writer.port);
        return choose_again(context, cluster, place, like).await;
    }
    let old = home(context, cluster, &place);
    let engine = context.engine_of(cluster)?;
    if engine.state(&old).await? != ServerState::Ended {
        return Ok(place);
    }
    let error = match engine.hold(&old) {
        Ok(()) => return Ok(place),
        Err(error) if is_taken(&error) => error,
        Err(error) => return Err(error.into()),
    };
    if take_back(context, cluster, &old).await? {
        return Ok(place);
    }
    engine.release(&old);
    let like = Some(place.port);
    let new = choose_again(context, cluster, place, like).await?;
    tracing::warn!(
        cluster = %cluster.name, from = %old.host, from_port = old.port, to = %new.host, to_port = new.port,
        cause = %chain(&error), "the cluster has a new address"
    );
    Ok(new)
}

/// Finds an address in the place of the one that a cluster's instance has, and writes it down.
async fn choose_again(
    context: &ServiceContext,
    cluster: &Cluster,
    old: Placement,
    like: Option<u16>,
) -> Result<Placement, JobError> {
    let wanted = PortRequest {
        like,
        ..PortRequest::default()
    };
    let chosen = choose(context, cluster, &old.member, wanted).await?;
    let new = Placement {
        host: chosen.host,
        port: chosen.port,
        ..old.clone()
    };
    let (id, moved, before) = (cluster.resource_id.clone(), new.clone(), old);
    let written = context
        .catalog
        .write(move |tx| {
            let cluster = rows::get_by_resource_id(tx, &id)?.ok_or(JobError::Gone)?;
            let mut all = instances::of_cluster(tx, &id)?.into_iter();
            let same = |one: &Stored<Instance>| one.value.placement.member == moved.member;
            let mut one = all.find(same).ok_or(JobError::Gone)?;
            let is_writer = one.value.is_writer();
            let kept = &mut one.value.placement;
            if (&kept.host, kept.port) != (&before.host, before.port) {
                return Err(JobError::retry("the cluster's address has changed"));
            }
            (kept.host, kept.port) = (moved.host.clone(), moved.port);
            instances::update(tx, one)?;
            instances::relink(tx, &cluster.value)?;
            if is_writer {
                let told = OfCluster::Moved {
                    from: (&before.host, before.port),
                    to: (&moved.host, moved.port),
                };
                kinds::cluster(tx, &cluster.value, told)?;
            }
            Ok(())
        })
        .await;
    match written {
        Ok(()) => Ok(new),
        Err(error) => {
            release(context, cluster, &new);
            Err(error)
        }
    }
}

/// Ends what another cluster's user runs at a cluster's address, and holds it again. Answers whether
/// it is held; whoever else has it is named in the log.
async fn take_back(
    context: &ServiceContext,
    cluster: &Cluster,
    home: &Home,
) -> Result<bool, JobError> {
    let Ok(host) = home.host.parse::<IpAddr>() else {
        return Ok(false);
    };
    let engine = context.engine_of(cluster)?;
    let address = SocketAddr::new(host, home.port);
    let ended = match context
        .users
        .evict(home.os_uid, cluster.resource_id.as_str(), address)
        .await
    {
        Ok(Eviction::Ended(ended)) => ended,
        Ok(Eviction::Others(others)) => {
            tracing::warn!(
                cluster = %cluster.name, %address, program = %engine::shown_occupants(&others),
                "another program has the cluster's address: end it and keep it from there, or give clusters other addresses with --cluster-addresses"
            );
            return Ok(false);
        }
        Ok(Eviction::Nobody) => return Ok(engine.hold(home).is_ok()),
        Err(error) => {
            tracing::warn!(cluster = %cluster.name, %address, cause = %chain(&error), "the cluster's address cannot be taken back");
            return Ok(false);
        }
    };
    for one in &ended {
        let of = context.users.clusters_of(one.uid).await;
        tracing::warn!(
            cluster = %cluster.name, %address, program = %one, of = ?of,
            "a program of another cluster's user had the cluster's address and was ended"
        );
    }
    if let Err(error) = engine.hold(home) {
        tracing::warn!(cluster = %cluster.name, %address, cause = %chain(&error), "the address was taken again");
        return Ok(false);
    }
    let (id, at) = (cluster.resource_id.clone(), (home.host.clone(), home.port));
    context
        .catalog
        .write(move |tx| match rows::get_by_resource_id(tx, &id)? {
            Some(stored) => kinds::cluster(tx, &stored.value, OfCluster::Reclaimed(&at.0, at.1)),
            None => Ok(()),
        })
        .await?;
    Ok(true)
}

/// Gives a running cluster's master user what this release gives one. A cluster whose owner dropped that
/// role is as available as it was.
pub async fn give_rights(context: &ServiceContext, cluster: &Cluster, place: &Placement) {
    let given = match context.engine_of(cluster) {
        Ok(engine) => {
            let home = home(context, cluster, place);
            let given = engine.give_rights(&home, &cluster.master_username);
            given.await.map_err(JobError::from)
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = given {
        tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the master user cannot be given its rights");
    }
}

/// Starts a whole cluster's server, or adopts it. An address that another program took in the moment
/// before is taken back, or given up for another one; answers where the server is.
///
/// # Errors
/// The engine's, and those of [`secure`].
pub async fn start(
    context: &ServiceContext,
    cluster: &Cluster,
    mut place: Placement,
) -> Result<Placement, JobError> {
    let engine = context.engine_of(cluster)?;
    for _ in 0..STARTS_MAX {
        match engine.start(&home(context, cluster, &place)).await {
            Ok(()) => {
                give_rights(context, cluster, &place).await;
                return Ok(place);
            }
            Err(error) if is_taken(&error) => place = secure(context, cluster, place).await?,
            Err(error) => return Err(error.into()),
        }
    }
    engine.start(&home(context, cluster, &place)).await?;
    give_rights(context, cluster, &place).await;
    Ok(place)
}
