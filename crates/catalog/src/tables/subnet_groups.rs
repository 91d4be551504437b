//! DB subnet groups.
use model::{Region, SubnetGroup};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        keyed::{self, Keyed},
        record::{Record, Table},
    },
    transaction::Tx,
};

impl Record for SubnetGroup {
    const KIND: &'static str = "subnet_groups";
    const TAG: &'static str = "subnet_group";
    const WORD: &'static str = "DB subnet group";
    const TABLE: Table = Table::new(
        "subnet_groups",
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

impl Keyed for SubnetGroup {
    fn what(&self) -> String {
        format!("the DB subnet group {}", self.arn())
    }
}
