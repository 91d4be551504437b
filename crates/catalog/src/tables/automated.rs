//! Automated snapshots by the clusters that they are of, which may be gone.
use model::{Account, Region, ResourceId, Snapshot, SnapshotKind};

use crate::{
    error::CatalogError,
    tables::record::read,
    tables::stored::Stored,
    transaction::Tx,
    value::{Row, args},
};

/// Whose automated snapshots there are.
pub type Owner = (Region, Account, ResourceId);

/// A cluster's automated snapshots, the oldest first; there is about one for each day that they are
/// kept.
///
/// # Errors
/// The database's.
pub fn of_cluster(
    tx: &mut dyn Tx,
    (region, account, cluster): (&Region, &Account, &ResourceId),
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM snapshots WHERE region = ?1 AND account = ?2 \
         AND cluster_resource_id = ?3 AND kind = ?4",
        args![
            region,
            account,
            cluster.as_str(),
            SnapshotKind::Automated.as_str()
        ],
    )?;
    let mut found: Vec<Stored<Snapshot>> = read(&rows)?;
    found.sort_by_key(|stored| stored.value.created_at);
    Ok(found)
}

/// Every cluster, there or gone, that has automated snapshots.
///
/// # Errors
/// The database's.
pub fn owners(tx: &mut dyn Tx) -> Result<Vec<Owner>, CatalogError> {
    // A literal: an argument would hide that the index of this kind serves.
    let rows = tx.query(
        "SELECT DISTINCT region, account, cluster_resource_id FROM snapshots \
         WHERE kind = 'automated' ORDER BY region, account, cluster_resource_id",
        &[],
    )?;
    let owner = |row: &Row| Ok((row.parsed(0)?, row.parsed(1)?, row.parsed(2)?));
    rows.iter().map(owner).collect()
}
