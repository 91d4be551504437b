//! How old each cluster's last good snapshot is: for many clusters at once.
//!
//! It does not know who asks, nor what is too old.
use model::{Cluster, Timestamp};

use crate::{
    error::CatalogError,
    tables::{record::read, stored::Stored},
    transaction::Tx,
    value::args,
};

/// The clusters that can be brought back to something by now: not those that are being made, or
/// being removed.
const LIVE: &str = "c.status NOT IN ('creating', 'deleting', 'failed')";

/// Of one that is stopped no snapshot is taken, and its data does not change: its last one does not
/// get too old. That it has none is told all the same.
const AT_REST: &str = "c.status IN ('stopping', 'stopped')";

/// When the newest whole snapshot of a cluster was taken. Copies in its region count, by the time
/// of their bytes; those of others' and elsewhere do not.
const LAST: &str = "(SELECT max(s.created_at) FROM snapshots AS s WHERE s.region = c.region \
     AND s.account = c.account AND s.cluster_resource_id = c.resource_id \
     AND s.status = 'available')";

/// What all clusters have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Clusters without any whole snapshot.
    pub without: u64,
    /// The oldest of the others' last snapshots, but for stopped clusters.
    pub oldest: Option<Timestamp>,
}

/// The first clusters, and when the last whole snapshot of each was taken; at most `limit`.
///
/// # Errors
/// The database's.
pub fn of_clusters(
    tx: &mut dyn Tx,
    limit: usize,
) -> Result<Vec<(Cluster, Option<Timestamp>)>, CatalogError> {
    let rows = tx.query(
        &format!(
            "SELECT c.version, c.body, {LAST} FROM clusters AS c WHERE {LIVE} \
             ORDER BY c.region, c.account, c.name LIMIT ?1"
        ),
        args![limit],
    )?;
    let clusters: Vec<Stored<Cluster>> = read(&rows)?;
    clusters
        .into_iter()
        .zip(&rows)
        .map(|(cluster, row)| Ok((cluster.value, row.int_or_null(2)?.map(Timestamp))))
        .collect()
}

/// What the first `limit` clusters have in common.
///
/// # Errors
/// The database's.
pub fn sums(tx: &mut dyn Tx, limit: u64) -> Result<Sums, CatalogError> {
    let rows = tx.query(
        &format!(
            "SELECT count(*) - count(last), min(CASE WHEN rests THEN NULL ELSE last END) FROM \
             (SELECT {LAST} AS last, {AT_REST} AS rests FROM clusters AS c WHERE {LIVE} LIMIT ?1) \
             AS of_each"
        ),
        args![limit],
    )?;
    let Some(row) = rows.first() else {
        return Ok(Sums::default());
    };
    Ok(Sums {
        without: row.count(0)?,
        oldest: row.int_or_null(1)?.map(Timestamp),
    })
}
