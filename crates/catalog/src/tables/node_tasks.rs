//! How the background tasks of each node fare: the node's own text, as it told last.
//!
//! It does not know which tasks there are.
use model::Timestamp;

use crate::{error::CatalogError, transaction::Tx, value::args};

/// Rows of a list at most.
const NODES_MAX: usize = 10_000;

/// What a node told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub node: String,
    /// When, by the catalog's clock.
    pub at: Timestamp,
    /// The node's text, a JSON object.
    pub tasks: String,
}

/// Keeps what a node tells, over what it told before.
///
/// # Errors
/// The database's.
pub fn put(tx: &mut dyn Tx, node: &str, tasks: &str) -> Result<(), CatalogError> {
    let now = tx.now();
    tx.execute(
        "INSERT INTO node_tasks (node, told_at, tasks) VALUES (?1, ?2, ?3) \
         ON CONFLICT (node) DO UPDATE SET told_at = excluded.told_at, tasks = excluded.tasks",
        args![node, now, tasks],
    )?;
    Ok(())
}

/// What each node told, by its name.
///
/// # Errors
/// The database's.
pub fn list(tx: &mut dyn Tx) -> Result<Vec<Told>, CatalogError> {
    let rows = tx.query(
        "SELECT node, told_at, tasks FROM node_tasks ORDER BY node LIMIT ?1",
        args![NODES_MAX],
    )?;
    rows.iter()
        .map(|row| {
            Ok(Told {
                node: row.text(0)?.to_owned(),
                at: Timestamp(row.int(1)?),
                tasks: row.text(2)?.to_owned(),
            })
        })
        .collect()
}

/// Forgets what a node told.
///
/// # Errors
/// The database's.
pub fn forget(tx: &mut dyn Tx, node: &str) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM node_tasks WHERE node = ?1", args![node])?;
    Ok(())
}
