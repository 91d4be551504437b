//! What an account has set for AWS Backup in a region.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{Account, Region},
};

/// Settings of an account in a region. What holds for all regions stands in each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSettings {
    /// The region.
    pub region: Region,
    /// Whose they are.
    pub account: Account,
    /// Which types of resources a plan backs up that selects them by tags alone; those that are not
    /// named are backed up.
    pub opt_in: BTreeMap<String, bool>,
    /// Which types AWS Backup was told to manage fully: kept, and answered again.
    pub management: BTreeMap<String, bool>,
    /// Whether recovery points may be copied into vaults of other accounts.
    pub cross_account: bool,
    /// When that was said.
    pub cross_account_at: Option<Timestamp>,
}

impl BackupSettings {
    /// As they are before anything was said.
    pub fn of(region: &Region, account: &Account) -> Self {
        Self {
            region: region.clone(),
            account: account.clone(),
            opt_in: BTreeMap::new(),
            management: BTreeMap::new(),
            cross_account: true,
            cross_account_at: None,
        }
    }

    /// What it is called in errors.
    pub fn arn(&self) -> String {
        format!("{} in {}", self.account, self.region)
    }

    /// Whether a plan backs up what it selects by tags alone and is of that type.
    pub fn opts_in(&self, resource_type: &str) -> bool {
        self.opt_in.get(resource_type).copied().unwrap_or(true)
    }
}
