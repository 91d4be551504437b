//! Clusters elsewhere or no more whose automated backups are kept, by region and the clusters' names for life.
use model::{Region, ResourceId, RetainedBackup};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        keyed::{self, Keyed},
        record::{Record, Table, read},
        stored::Stored,
    },
    transaction::Tx,
    value::args,
};

impl Record for RetainedBackup {
    const KIND: &'static str = "retained_backups";
    const TAG: &'static str = "retained_backup";
    const WORD: &'static str = "retained automated backup";
    const TABLE: Table = Table::new(
        "retained_backups",
        3,
        &["region", "account", "resource_id", "version", "body"],
    );

    fn region(&self) -> Option<&Region> {
        Some(&self.cluster.region)
    }

    fn key(&self) -> Vec<&str> {
        let cluster = &self.cluster;
        vec![cluster.account.as_str(), cluster.resource_id.as_str()]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        keyed::insert(tx, record).map(drop)
    }
}

impl Keyed for RetainedBackup {
    fn what(&self) -> String {
        format!("the retained backup of {}", self.cluster.arn())
    }
}

/// Finds what a region keeps of a cluster.
///
/// # Errors
/// The database's.
pub fn get(
    tx: &mut dyn Tx,
    region: &Region,
    id: &ResourceId,
) -> Result<Option<Stored<RetainedBackup>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM retained_backups WHERE resource_id = ?1 AND region = ?2",
        args![id.as_str(), region],
    )?;
    Ok(read(&rows)?.pop())
}

/// All that regions keep of a cluster.
///
/// # Errors
/// The database's.
pub fn of_cluster(
    tx: &mut dyn Tx,
    id: &ResourceId,
) -> Result<Vec<Stored<RetainedBackup>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM retained_backups WHERE resource_id = ?1 ORDER BY region",
        args![id.as_str()],
    )?;
    read(&rows)
}

/// All that a region keeps.
///
/// # Errors
/// The database's.
pub fn of_region(
    tx: &mut dyn Tx,
    region: &Region,
) -> Result<Vec<Stored<RetainedBackup>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM retained_backups WHERE region = ?1 ORDER BY account, resource_id",
        args![region],
    )?;
    read(&rows)
}

/// All that is being brought from one region to another.
///
/// # Errors
/// The database's.
pub fn brought(tx: &mut dyn Tx) -> Result<Vec<Stored<RetainedBackup>>, CatalogError> {
    let rows = tx.query("SELECT version, body FROM retained_backups", &[])?;
    let mut found: Vec<Stored<RetainedBackup>> = read(&rows)?;
    found.retain(|stored| stored.value.is_brought());
    Ok(found)
}
