//! Which nodes the instances of a new Multi-AZ DB cluster are on: three of those that name their zones, of as
//! many zones as there are; or all on one.
//!
//! Three, since a commit is in two places before a client hears of it: with two nodes either's loss would
//! stop the writes, or lose some.
use catalog::{
    CatalogExt,
    nodes::{self, Listed, NodeState},
};
use model::{Cluster, Instance, InstanceId, Placement, limits};

use crate::action::ActionContext;
use service::fault::Fault;

/// Readers of a Multi-AZ DB cluster.
pub(crate) const READERS: usize = 2;
/// Zones that are named for a cluster that asks for none.
const ZONES: usize = READERS + 1;

/// Where a cluster's instances go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nodes {
    /// The zone of the writer's node, which is this one.
    pub(crate) own_zone: String,
    /// The readers' nodes, with their zones.
    others: Vec<(String, String)>,
}

/// The nodes for a new cluster's instances; none when all are to be on this one.
///
/// # Errors
/// The catalog's.
pub(crate) async fn nodes(cx: &ActionContext, cluster: &Cluster) -> Result<Option<Nodes>, Fault> {
    let settings = &cx.service.settings;
    let Some(own) = &settings.membership else {
        return Ok(None);
    };
    let engine = cx.service.engine_of(cluster);
    let engine = engine.map_err(|error| Fault::internal(&error))?;
    let can_follow = engine.follows_afar(&cluster.engine_version);
    let Some(zone) = own.zone.as_ref().filter(|_| can_follow) else {
        return Ok(None);
    };
    let mut listed = cx.service.catalog.read(nodes::list).await?;
    if settings.cluster_addresses.is_loopback() {
        // Another machine's are none of ours.
        listed.retain(|one| host_of(&one.node.endpoint) == host_of(&own.endpoint));
    }
    Ok(choose(&settings.node, zone, &listed))
}

/// The host in a node's endpoint, by which it is reached.
fn host_of(endpoint: &str) -> &str {
    let address = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// Of the other nodes that live and name their zones: first one of a zone that is not among those chosen,
/// then the one with the fewest clusters.
fn choose(own: &str, own_zone: &str, listed: &[Listed]) -> Option<Nodes> {
    let serves = |one: &&Listed| {
        one.node.state == NodeState::Serving
            && one.silent < limits::NODE_SILENCE
            && one.node.name != own
    };
    let mut left: Vec<(&str, &str, u64)> = listed
        .iter()
        .filter(serves)
        .filter_map(|one| {
            let zone = one.node.zone.as_deref()?;
            Some((one.node.name.as_str(), zone, one.clusters))
        })
        .collect();
    let mut zones = vec![own_zone];
    let mut others = Vec::new();
    while others.len() < READERS {
        let order = |one: &(&str, &str, u64)| (zones.contains(&one.1), one.2);
        let at = (0..left.len()).min_by_key(|at| order(&left[*at]))?;
        let (name, zone, _) = left.swap_remove(at);
        zones.push(zone);
        others.push((name.to_owned(), zone.to_owned()));
    }
    let is_spread = others.iter().any(|(_, zone)| zone != own_zone);
    is_spread.then(|| Nodes {
        own_zone: own_zone.to_owned(),
        others,
    })
}

/// A cluster that asked for no zones is in those of its nodes.
pub(crate) fn zones(cluster: &mut Cluster, nodes: &Nodes) {
    let region = cluster.region.as_str();
    let named = |zone: &String| {
        zone.strip_prefix(region)
            .is_some_and(|rest| rest.len() == 1)
    };
    let drawn =
        cluster.availability_zones.len() == ZONES && cluster.availability_zones.iter().all(named);
    if !drawn {
        return;
    }
    let others = nodes.others.iter().map(|(_, zone)| zone);
    let mut zones = vec![nodes.own_zone.clone()];
    for zone in others {
        if !zones.contains(zone) {
            zones.push(zone.clone());
        }
    }
    cluster.availability_zones = zones;
}

/// The readers that a cluster begins with on other nodes.
pub(crate) fn readers(
    cx: &ActionContext,
    cluster: &Cluster,
    writer: &Placement,
    nodes: &Nodes,
) -> Vec<Instance> {
    let made = nodes.others.iter().map(|(node, zone)| {
        let id = InstanceId::draw(&*cx.service.entropy);
        let place = Placement {
            node: node.clone(),
            host: String::new(),
            port: 0,
            os_uid: None,
            ..writer.clone()
        };
        let mut reader = Instance::reader(cluster, id, place);
        reader.availability_zone = Some(zone.clone());
        reader
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use catalog::nodes::Node;
    use model::Timestamp;

    use super::*;

    fn node(name: &str, zone: &str, clusters: u64) -> Listed {
        Listed {
            node: Node {
                name: name.to_owned(),
                home: String::new(),
                incarnation: String::new(),
                state: NodeState::Serving,
                endpoint: String::new(),
                build: String::new(),
                zone: (!zone.is_empty()).then(|| zone.to_owned()),
                started_at: Timestamp(0),
                heartbeat_at: Timestamp(0),
            },
            silent: Duration::ZERO,
            clusters,
            leases: 0,
        }
    }

    fn chosen(listed: &[Listed]) -> Option<Vec<String>> {
        let found = choose("n1", "a", listed)?;
        Some(found.others.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        assert_eq!(host_of("http://127.0.0.1:8085"), "127.0.0.1");
        assert_eq!(host_of("https://[::1]:1"), "[::1]");
    }

    #[test]
    fn instances_go_to_three_nodes_of_as_many_zones_as_there_are() {
        let mut listed = vec![node("n1", "a", 0), node("n2", "b", 0)];
        assert_eq!(chosen(&listed), None, "two nodes are too few");
        listed.push(node("n3", "a", 0));
        assert_eq!(
            chosen(&listed),
            Some(vec!["n2".to_owned(), "n3".to_owned()])
        );
        listed.push(node("n4", "", 0));
        listed.push(node("n5", "c", 7));
        assert_eq!(
            chosen(&listed),
            Some(vec!["n2".to_owned(), "n5".to_owned()]),
            "a new zone goes before fewer clusters"
        );
        listed[1].clusters = 9;
        listed.push(node("n6", "b", 8));
        assert_eq!(
            chosen(&listed),
            Some(vec!["n5".to_owned(), "n6".to_owned()])
        );
        for one in [1, 4, 5] {
            listed[one].silent = limits::NODE_SILENCE;
        }
        assert_eq!(chosen(&listed), None, "they are not heard of");
        let same = [node("n1", "a", 0), node("n2", "a", 0), node("n3", "a", 0)];
        assert_eq!(chosen(&same), None, "one zone alone");
    }
}
