//! What a rebuild brought back.
use std::collections::BTreeMap;

use super::read::Findings;

/// Names that a report lists.
const NAMES_MAX: usize = 1_000;

/// Where a cluster's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// In the data folder of the node of this name.
    Here(String),
    /// On another node, as its record says.
    Elsewhere,
    /// Nowhere that the new catalog's nodes reach.
    Gone,
}

/// Names of records, the first of them listed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    /// At most 1,000, each an ARN and perhaps more.
    pub listed: Vec<String>,
    /// All of them.
    pub count: u64,
}

impl Names {
    pub(super) fn add(&mut self, name: String) {
        self.count += 1;
        if self.listed.len() < NAMES_MAX {
            self.listed.push(name);
        }
    }
}

/// What a rebuild brought back, and what it did not.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the record logs are like.
    pub findings: Findings,
    /// The records by kind, by the names in `catalog::recorded::RECORDS`.
    pub records: BTreeMap<&'static str, u64>,
    /// Snapshots that were being made, and are failed now.
    pub failed: Names,
    /// Clusters that were being made or deleted, and what became of them.
    pub clusters: Names,
    /// Clusters whose files are gone, so that their records were dropped.
    pub dropped: Names,
    /// Snapshots whose manifest is not in the vault.
    pub missing: Names,
    /// Manifests in the vaults that no record needs: of snapshots that were deleted lately, or that
    /// the record log did not have yet.
    pub nobodys: u64,
    /// Whether a rebuild that was cut short was begun anew.
    pub again: bool,
}

impl Report {
    /// Whether something that the record log should have is not there.
    pub fn is_damaged(&self) -> bool {
        !self.findings.damaged.is_empty() || 0 < self.missing.count
    }
}
