//! Backup plans: by their ids, and by when the next of their rules is due.
use model::{BackupPlan, Region, Timestamp};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        keyed::{self, Keyed},
        record::{Record, Table, read},
        stored::Stored,
    },
    transaction::Tx,
    value::{Arg, args},
};

impl Record for BackupPlan {
    const KIND: &'static str = "backup_plans";
    const TAG: &'static str = "backup_plan";
    const WORD: &'static str = "backup plan";
    const TABLE: Table = Table::new(
        "backup_plans",
        3,
        &["region", "account", "id", "due", "version", "body"],
    );

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), self.id.as_str()]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        keyed::insert(tx, record).map(drop)
    }
}

impl Keyed for BackupPlan {
    fn what(&self) -> String {
        format!("the backup plan {}", self.arn())
    }

    fn searched(&self) -> Vec<Arg<'_>> {
        vec![self.due.map_or(Arg::Null, |due| due.0.into())]
    }
}

/// The plans of a region that have a rule that is due, the longest ago first; at most `limit`.
///
/// # Errors
/// The database's.
pub fn due(
    tx: &mut dyn Tx,
    region: &Region,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Stored<BackupPlan>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM backup_plans WHERE region = ?1 AND due <= ?2 \
         ORDER BY due LIMIT ?3",
        args![region, now.0, limit],
    )?;
    read(&rows)
}
