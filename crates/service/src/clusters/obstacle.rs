//! What keeps a cluster's writes from being handed over now, where its instances are on several nodes.
//!
//! It does not know why they are to be.
use std::fmt;

use catalog::{CatalogError, Tx, instances, nodes};
use model::{Cluster, ClusterStatus, Instance, InstanceStatus, limits};

/// Why a cluster's readers cannot all leave its writer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Something else is being done with it.
    Cluster(ClusterStatus),
    /// It has no reader.
    NoReader,
    /// A reader is not available.
    Reader(String, InstanceStatus),
    /// A reader's files are being made anew.
    Copied(String),
    /// A reader's node is not heard of.
    Silent(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(status) => write!(f, "it is {}", status.as_str()),
            Self::NoReader => f.write_str("it has no reader"),
            Self::Reader(name, status) => {
                write!(f, "its reader {name} is {}", status.as_str())
            }
            Self::Copied(name) => write!(
                f,
                "its reader {name} is being copied anew from the writer, and can't tell yet what it has"
            ),
            Self::Silent(name) => write!(f, "the node of its reader {name} is not heard of"),
        }
    }
}

/// What keeps a cluster's readers from leaving its writer now: all of them have to be there, and so have
/// their nodes.
///
/// # Errors
/// The catalog's.
pub fn of_readers(tx: &mut dyn Tx, cluster: &Cluster) -> Result<Option<Obstacle>, CatalogError> {
    let now = tx.now();
    let members = instances::of_cluster(tx, &cluster.resource_id)?;
    let members = members.into_iter().map(|stored| stored.value);
    let readers: Vec<Instance> = members.filter(|one| !one.is_writer()).collect();
    let unready = cluster.spread.as_ref().map(|spread| &spread.unready);
    for reader in &readers {
        let name = reader.arn_name().to_owned();
        if reader.status != InstanceStatus::Available {
            return Ok(Some(Obstacle::Reader(name, reader.status)));
        }
        let is_unready = unready.is_some_and(|unready| unready.contains(&reader.id));
        if !reader.placement.is_whole() || is_unready {
            return Ok(Some(Obstacle::Copied(name)));
        }
        let node = nodes::get(tx, &reader.placement.node)?;
        let lives = node.is_some_and(|node| {
            node.state != nodes::NodeState::Stopped
                && now.since(node.heartbeat_at) < limits::NODE_SILENCE
        });
        if !lives {
            return Ok(Some(Obstacle::Silent(name)));
        }
    }
    Ok(readers.is_empty().then_some(Obstacle::NoReader))
}
