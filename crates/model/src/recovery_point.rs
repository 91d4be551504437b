//! What AWS Backup says of a snapshot that is a recovery point.
use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    clock::Timestamp,
    ids::{Account, Region},
    names::BackupVaultName,
};

/// A day, in seconds.
const DAY_SECS: u64 = 24 * 3_600;

/// When a recovery point moves and goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Days after which it would be moved to cold storage; there is none for databases' snapshots.
    pub cold_after_days: Option<u32>,
    /// Days after which it is deleted; none: never.
    pub delete_after_days: Option<u32>,
}

/// Where a recovery point is copied to once it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyAction {
    /// The vault.
    pub to: Arn,
    /// When the copy goes; none: as its source.
    pub lifecycle: Option<Lifecycle>,
}

/// What names a plan's rule in what it made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// The plan's id.
    pub plan: String,
    /// Its name.
    pub plan_name: String,
    /// The version's id.
    pub version: String,
    /// The rule's id.
    pub rule: String,
    /// Its name.
    pub rule_name: String,
    /// Its schedule.
    pub schedule: String,
    /// The schedule's time zone.
    pub time_zone: String,
}

/// What is said of the snapshot that a recovery point is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// The vault that it is in, of the snapshot's account and region.
    pub vault: BackupVaultName,
    /// The id of the job that made it.
    pub job: String,
    /// What it is a backup of.
    pub resource: Arn,
    /// The role that the caller named: kept, and answered again.
    pub iam_role: String,
    /// When it goes.
    pub lifecycle: Lifecycle,
    /// When it was whole.
    pub completed_at: Option<Timestamp>,
    /// Where the job is that made it, if not in its own account and region.
    #[serde(default)]
    pub job_at: Option<JobPlace>,
    /// The rule of a plan that it follows.
    #[serde(default)]
    pub rule: Option<MadeBy>,
    /// How much time this deployment had lived through when it was whole, as a moment.
    #[serde(default)]
    pub lived_at: Option<Timestamp>,
    /// Why it is still there though its time is over.
    #[serde(default)]
    pub kept: Option<String>,
    /// Until when the bucket that it lies in keeps its objects, whoever asks, when that was said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained_until: Option<Timestamp>,
}

/// Where a job's record is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlace {
    /// Its region.
    pub region: Region,
    /// Its account.
    pub account: Account,
}

impl RecoveryPoint {
    /// When it is deleted, having been made at `made_at`; none: never.
    pub fn delete_at(&self, made_at: Timestamp) -> Option<Timestamp> {
        let days = u64::from(self.lifecycle.delete_after_days?);
        Some(made_at.plus(std::time::Duration::from_secs(days * DAY_SECS)))
    }
}
