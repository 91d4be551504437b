//! Nodes: the processes that share a catalog, whether they live, and whether they take on work.
//!
//! It does not know what a node does with its state.
//!
//! Invariant: a name stands for one data folder, since clusters are found by the name of the
//! node whose folder has their files. A name's next process takes over only from one that
//! cannot live: of the same folder, whose lock it holds, or silent for long and without clusters.
use std::time::Duration;

use model::{Timestamp, limits};

use crate::{
    error::CatalogError,
    tables::instances,
    transaction::Tx,
    value::{Row, args},
};

/// Rows of a list at most.
const NODES_MAX: usize = 10_000;

/// Whether a node takes on work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It does.
    Serving,
    /// It answers requests and runs its clusters, and takes on no work that others can do.
    Draining,
    /// Its process has ended in order.
    Stopped,
}

impl NodeState {
    /// The word in rows and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    fn read(row: &Row, column: usize) -> Result<Self, CatalogError> {
        match row.text(column)? {
            "serving" => Ok(Self::Serving),
            "draining" => Ok(Self::Draining),
            "stopped" => Ok(Self::Stopped),
            _ => Err(CatalogError::damaged("a node's state".to_owned(), None)),
        }
    }
}

/// A node's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, which its clusters and jobs bear.
    pub name: String,
    /// Names its data folder.
    pub home: String,
    /// Names this one process.
    pub incarnation: String,
    /// Whether it takes on work.
    pub state: NodeState,
    /// Where it is reached.
    pub endpoint: String,
    /// The release that it runs.
    pub build: String,
    /// The zone that it is in, if it says one.
    pub zone: Option<String>,
    /// When the process entered, by the catalog's clock.
    pub started_at: Timestamp,
    /// When it was last heard of, by the catalog's clock.
    pub heartbeat_at: Timestamp,
}

/// A process that wants to be a node.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name it wants.
    pub name: String,
    /// Names its data folder, whose lock it holds.
    pub home: String,
    /// Names the process.
    pub incarnation: String,
    /// Where it is reached.
    pub endpoint: String,
    /// The release that it runs.
    pub build: String,
    /// The zone that it is in, if it says one.
    pub zone: Option<String>,
}

/// Why a name cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A process of another data folder has it, and was heard of this long ago.
    Alive {
        /// Where that one is reached.
        endpoint: String,
        /// How long ago.
        silent: Duration,
    },
    /// Clusters of that name lie in another data folder.
    Clusters(u64),
}

/// A node and what it is busy with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The node.
    pub node: Node,
    /// How long it has been silent.
    pub silent: Duration,
    /// Clusters whose files it has.
    pub clusters: u64,
    /// Jobs that it holds under a lease.
    pub leases: u64,
}

const COLUMNS: &str =
    "name, home, incarnation, state, endpoint, build, started_at, heartbeat_at, zone";

fn from_row(row: &Row) -> Result<Node, CatalogError> {
    Ok(Node {
        name: row.text(0)?.to_owned(),
        home: row.text(1)?.to_owned(),
        incarnation: row.text(2)?.to_owned(),
        state: NodeState::read(row, 3)?,
        endpoint: row.text(4)?.to_owned(),
        build: row.text(5)?.to_owned(),
        started_at: Timestamp(row.int(6)?),
        heartbeat_at: Timestamp(row.int(7)?),
        zone: row.text_or_null(8)?.map(str::to_owned),
    })
}

/// Finds a node.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut dyn Tx, name: &str) -> Result<Option<Node>, CatalogError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM nodes WHERE name = ?1"),
        args![name],
    )?;
    rows.first().map(from_row).transpose()
}

/// Lets a process be the node of its name, or says why it cannot. A process that is silent for
/// `silence` counts as dead.
///
/// # Errors
/// The database's.
pub fn enter(
    tx: &mut dyn Tx,
    entry: &Entry,
    silence: Duration,
) -> Result<Result<(), Taken>, CatalogError> {
    let now = tx.now();
    set_right(tx)?;
    let found = get(tx, &entry.name)?;
    if let Some(node) = found.filter(|node| node.home != entry.home) {
        let silent = now.since(node.heartbeat_at);
        if node.state != NodeState::Stopped && silent < silence {
            return Ok(Err(Taken::Alive {
                endpoint: node.endpoint,
                silent,
            }));
        }
        let clusters = instances::clusters_on(tx, &entry.name)?;
        if 0 < clusters {
            return Ok(Err(Taken::Clusters(clusters)));
        }
    }
    tx.execute(
        "INSERT INTO nodes (name, home, incarnation, state, endpoint, build, started_at, \
         heartbeat_at, zone) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8) \
         ON CONFLICT (name) DO UPDATE SET home = excluded.home, \
         incarnation = excluded.incarnation, state = excluded.state, \
         endpoint = excluded.endpoint, build = excluded.build, \
         started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at, \
         zone = excluded.zone",
        args![
            &entry.name,
            &entry.home,
            &entry.incarnation,
            NodeState::Serving.as_str(),
            &entry.endpoint,
            &entry.build,
            now,
            entry.zone.as_deref()
        ],
    )?;
    Ok(Ok(()))
}

/// Says that a node's process lives; answers its state, or none when another process has its name.
///
/// # Errors
/// The database's.
pub fn beat(
    tx: &mut dyn Tx,
    name: &str,
    incarnation: &str,
) -> Result<Option<NodeState>, CatalogError> {
    let now = tx.now();
    set_right(tx)?;
    let rows = tx.query(
        "UPDATE nodes SET heartbeat_at = ?3 WHERE name = ?1 AND incarnation = ?2 \
         RETURNING state",
        args![name, incarnation, now],
    )?;
    rows.first().map(|row| NodeState::read(row, 0)).transpose()
}

/// Lets heartbeats of a clock that was ahead be of now: their nodes have to be heard of anew, or
/// are silent soon.
fn set_right(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    let now = tx.now();
    tx.execute(
        "UPDATE nodes SET heartbeat_at = ?1 WHERE ?2 < heartbeat_at",
        args![now, now.plus(limits::NODE_SILENCE)],
    )?;
    Ok(())
}

/// Notes that a node's process ends in order.
///
/// # Errors
/// The database's.
pub fn leave(tx: &mut dyn Tx, name: &str, incarnation: &str) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE nodes SET state = ?3 WHERE name = ?1 AND incarnation = ?2",
        args![name, incarnation, NodeState::Stopped.as_str()],
    )?;
    Ok(())
}

/// Lets a node take on no more work that others can do, until its process starts anew; answers
/// whether there is such a node that runs.
///
/// # Errors
/// The database's.
pub fn drain(tx: &mut dyn Tx, name: &str) -> Result<bool, CatalogError> {
    let changed = tx.execute(
        "UPDATE nodes SET state = ?2 WHERE name = ?1 AND state <> ?3",
        args![
            name,
            NodeState::Draining.as_str(),
            NodeState::Stopped.as_str()
        ],
    )?;
    Ok(changed == 1)
}

/// Removes a node's row; a process that still has its name hears of it at its next heartbeat.
///
/// # Errors
/// The database's.
pub fn forget(tx: &mut dyn Tx, name: &str) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM nodes WHERE name = ?1", args![name])?;
    Ok(())
}

/// Every node by its name, with what it is busy with.
///
/// # Errors
/// The database's.
pub fn list(tx: &mut dyn Tx) -> Result<Vec<Listed>, CatalogError> {
    let now = tx.now();
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM nodes ORDER BY name LIMIT ?1"),
        args![NODES_MAX],
    )?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in &rows {
        let node = from_row(row)?;
        let leases = tx.query(
            "SELECT count(*) FROM jobs WHERE state = 'open' AND ?2 < lease_until \
             AND substr(lease_owner, 1, length(?1)) = ?1",
            args![format!("{}/", node.name), now],
        )?;
        listed.push(Listed {
            silent: now.since(node.heartbeat_at),
            clusters: instances::clusters_on(tx, &node.name)?,
            leases: leases.first().map_or(Ok(0), |row| row.count(0))?,
            node,
        });
    }
    Ok(listed)
}

/// The first of the nodes that live, by name: it does what one of them is enough for.
///
/// # Errors
/// The database's.
pub fn first_alive(tx: &mut dyn Tx, silence: Duration) -> Result<Option<String>, CatalogError> {
    let since = tx.now().minus(silence);
    let rows = tx.query(
        "SELECT name FROM nodes WHERE state <> ?1 AND ?2 < heartbeat_at ORDER BY name LIMIT 1",
        args![NodeState::Stopped.as_str(), since],
    )?;
    rows.first()
        .map(|row| row.text(0).map(str::to_owned))
        .transpose()
}
