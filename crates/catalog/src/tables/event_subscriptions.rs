//! Event subscriptions.
use model::{Region, Subscription};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        keyed::{self, Keyed},
        record::{Record, Table},
    },
    transaction::Tx,
};

impl Record for Subscription {
    const KIND: &'static str = "event_subscriptions";
    const TAG: &'static str = "event_subscription";
    const WORD: &'static str = "event subscription";
    const TABLE: Table = Table::new(
        "event_subscriptions",
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

impl Keyed for Subscription {
    fn what(&self) -> String {
        format!("the event subscription {}", self.arn())
    }
}
