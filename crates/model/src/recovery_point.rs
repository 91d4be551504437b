//! What AWS Backup keeps: a recovery point, which is a snapshot and what is said of it here, and the
//! job that made it.
use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    ids::{Account, Region},
    names::{BackupVaultName, SnapshotName},
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
}

impl RecoveryPoint {
    /// When it is deleted, having been made at `made_at`; none: never.
    pub fn delete_at(&self, made_at: Timestamp) -> Option<Timestamp> {
        let days = u64::from(self.lifecycle.delete_after_days?);
        Some(made_at.plus(std::time::Duration::from_secs(days * DAY_SECS)))
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupJobKind {
    /// Makes a recovery point of a resource.
    Backup,
}

impl BackupJobKind {
    /// The word that it is stored as.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
        }
    }
}

/// Where a backup job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupJobState {
    /// Its snapshot is being taken.
    Running,
    /// Its recovery point is whole.
    Completed,
    /// It could not be done; the record says why.
    Failed,
}

impl BackupJobState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Running, Self::Completed, Self::Failed];

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// A backup job: what was asked for, and what came of it. It outlasts its recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupJob {
    /// Its region.
    pub region: Region,
    /// Whose it is.
    pub account: Account,
    /// Its id, a UUID.
    pub id: String,
    /// What it does.
    pub kind: BackupJobKind,
    /// Where it stands.
    pub state: BackupJobState,
    /// Why it failed.
    pub message: Option<String>,
    /// The vault that the recovery point goes to.
    pub vault: BackupVaultName,
    /// What it is a backup of.
    pub resource: Arn,
    /// The resource's name.
    pub resource_name: String,
    /// `Aurora`, or `RDS`.
    pub resource_type: String,
    /// The recovery point's snapshot.
    pub snapshot: SnapshotName,
    /// The snapshot's key, if it is encrypted.
    pub kms_key: Option<Arn>,
    /// The role that the caller named.
    pub iam_role: String,
    /// When the recovery point goes.
    pub lifecycle: Lifecycle,
    /// What the caller named the request by.
    pub idempotency_token: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it had to have begun, by what the caller said.
    pub start_by: Timestamp,
    /// When it has to be through, where the caller said so.
    pub complete_by: Option<Timestamp>,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
    /// The snapshot's bytes.
    pub bytes: Option<u64>,
}

impl BackupJob {
    /// What it is called in errors.
    pub fn arn(&self) -> String {
        let Self {
            region,
            account,
            id,
            ..
        } = self;
        format!("arn:aws:backup:{region}:{account}:backup-job:{id}")
    }

    /// The recovery point's ARN.
    pub fn point_arn(&self) -> Arn {
        Arn::of(
            Kind::ClusterSnapshot,
            &self.region,
            &self.account,
            self.snapshot.as_str(),
        )
    }
}
