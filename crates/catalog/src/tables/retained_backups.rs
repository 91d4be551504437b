//! Deleted clusters whose automated backups are kept, by the clusters' names for life.
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

/// Finds the retained backup of a cluster.
///
/// # Errors
/// The database's.
pub fn get_by_resource_id(
    tx: &mut dyn Tx,
    id: &ResourceId,
) -> Result<Option<Stored<RetainedBackup>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM retained_backups WHERE resource_id = ?1",
        args![id.as_str()],
    )?;
    Ok(read(&rows)?.pop())
}
