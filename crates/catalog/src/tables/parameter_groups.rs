//! Parameter groups, of clusters and of instances.
use model::{ParameterGroup, Region};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        keyed::{self, Keyed},
        record::{Record, Table},
    },
    transaction::Tx,
};

impl Record for ParameterGroup {
    const KIND: &'static str = "parameter_groups";
    const TAG: &'static str = "parameter_group";
    const WORD: &'static str = "parameter group";
    const TABLE: Table = Table::new(
        "parameter_groups",
        4,
        &["region", "account", "scope", "name", "version", "body"],
    );

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), self.scope.as_str(), &self.name]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        keyed::insert(tx, record).map(drop)
    }
}

impl Keyed for ParameterGroup {
    fn what(&self) -> String {
        format!("the parameter group {}", self.arn())
    }
}
