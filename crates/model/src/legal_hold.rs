//! A legal hold: recovery points that nobody and no lifecycle deletes until it is cancelled.
use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    ids::{Account, Region},
    names::BackupVaultName,
    snapshot::Snapshot,
    tag::Tag,
};

/// The end of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// When.
    pub at: Timestamp,
    /// Why, as the caller said.
    pub why: String,
    /// Until when the hold's record is kept; none: as long as its account.
    pub retain_until: Option<Timestamp>,
}

/// A legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegalHold {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// Its id, a UUID.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// The vaults whose recovery points it holds.
    pub vaults: Vec<BackupVaultName>,
    /// The ARNs of resources, of recovery points and of vaults that it holds.
    pub resources: Vec<String>,
    /// Only recovery points that were made from the one moment to the other, both included.
    pub made_between: Option<(Timestamp, Timestamp)>,
    /// What its maker called the request.
    pub idempotency_token: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its end, if it has come.
    pub cancelled: Option<Cancelled>,
}

impl LegalHold {
    /// `arn:…:legal-hold:<id>`.
    pub fn arn(&self) -> String {
        let Self {
            region,
            account,
            id,
            ..
        } = self;
        format!("{}{id}", Self::arns(region, account))
    }

    /// What the ARNs of an account's holds in a region begin with.
    pub fn arns(region: &Region, account: &Account) -> String {
        format!(
            "arn:{}:backup:{region}:{account}:legal-hold:",
            region.partition()
        )
    }

    /// Whether another one asks for the same.
    pub fn asks_as(&self, other: &Self) -> bool {
        self.title == other.title
            && self.description == other.description
            && self.vaults == other.vaults
            && self.resources == other.resources
            && self.made_between == other.made_between
    }

    /// Whether a snapshot is a recovery point that it keeps: of one of its vaults or resources, and
    /// made when it says. What is made later is kept, too.
    pub fn keeps(&self, snapshot: &Snapshot) -> bool {
        let Some(point) = &snapshot.recovery_point else {
            return false;
        };
        let (region, account) = (&snapshot.region, &snapshot.account);
        let vault = Arn::of(Kind::BackupVault, region, account, point.vault.as_str());
        let all = [&point.resource, &snapshot.arn(), &vault].map(Arn::to_string);
        let named = self.vaults.contains(&point.vault)
            || self.resources.iter().any(|arn| all.contains(arn));
        let is_within = self
            .made_between
            .is_none_or(|(from, to)| (from..=to).contains(&snapshot.recorded_at));
        self.cancelled.is_none() && named && is_within
    }
}
