//! Backup vaults.
use model::{BackupVault, Region};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        keyed::{self, Keyed},
        record::{Record, Table},
    },
    transaction::Tx,
};

impl Record for BackupVault {
    const KIND: &'static str = "backup_vaults";
    const TAG: &'static str = "backup_vault";
    const WORD: &'static str = "backup vault";
    const TABLE: Table = Table::new(
        "backup_vaults",
        3,
        &["region", "account", "name", "version", "body"],
    );

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), self.name.as_str()]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        keyed::insert(tx, record).map(drop)
    }
}

impl Keyed for BackupVault {
    fn what(&self) -> String {
        format!("the backup vault {}", self.arn())
    }
}
