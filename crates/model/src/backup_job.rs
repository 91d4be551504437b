//! Jobs of AWS Backup: what was asked for, and what came of it.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    cluster::Cluster,
    ids::{Account, Region},
    names::{BackupVaultName, ClusterName, SnapshotName},
    recovery_point::{CopyAction, Lifecycle, MadeBy, RecoveryPoint},
    restore_testing::{Deletion, Validation},
    snapshot::Snapshot,
    tag::Tag,
};

/// `Aurora`, or `RDS` for Multi-AZ DB clusters.
pub fn resource_type(engine: &str) -> &'static str {
    match engine.starts_with("aurora") {
        true => "Aurora",
        false => "RDS",
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupJobKind {
    /// Makes a recovery point of a resource.
    Backup,
    /// Copies a recovery point into a vault.
    Copy,
    /// Makes a resource of a recovery point.
    Restore,
}

impl BackupJobKind {
    /// The word that it is stored as.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Copy => "copy",
            Self::Restore => "restore",
        }
    }
}

/// Where a backup job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupJobState {
    /// It was asked for, and has not begun.
    Created,
    /// Its work is being done.
    Running,
    /// Its recovery point is whole.
    Completed,
    /// It could not be done; the record says why.
    Failed,
    /// It did not begin in time.
    Expired,
}

impl BackupJobState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Created,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Expired,
    ];

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Expired => "EXPIRED",
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
    /// The rule of a plan that asked for it.
    #[serde(default)]
    pub rule: Option<MadeBy>,
    /// The tags that its recovery point gets beside the resource's.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Of a backup: the copies that are asked for once it is whole, by the ids of their jobs.
    #[serde(default)]
    pub copies: BTreeMap<String, CopyAction>,
    /// Of a copy: from where to where.
    #[serde(default)]
    pub copy: Option<CopyOf>,
    /// Of a restore: what is made.
    #[serde(default)]
    pub restore: Option<RestoreOf>,
}

/// What a restore job makes. Its other fields speak of the recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreOf {
    /// The cluster, of the job's account and region.
    pub cluster: Arn,
    /// What the caller said of it.
    pub metadata: BTreeMap<String, String>,
    /// When the recovery point was made.
    pub point_made_at: Timestamp,
    /// The restore testing plan that asked for it, by its name.
    #[serde(default)]
    pub testing_plan: Option<String>,
    /// What the restore was found to be.
    #[serde(default)]
    pub validation: Option<Validation>,
    /// What became of its cluster.
    #[serde(default)]
    pub deletion: Option<Deletion>,
}

/// What a copy job copies. Its other fields speak of the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOf {
    /// The recovery point that it copies, of the job's account and region.
    pub source: Arn,
    /// The vault which that is in.
    pub from: BackupVaultName,
    /// The vault that the copy goes to.
    pub to: Arn,
    /// The backup job that it follows.
    #[serde(default)]
    pub backup_job: Option<String>,
}

impl BackupJob {
    /// A job that backs up a cluster, as it is before anything else is said of it.
    pub fn of_cluster(
        cluster: &Cluster,
        vault: BackupVaultName,
        id: &uuid::Uuid,
        now: Timestamp,
    ) -> Self {
        let owner = (&cluster.region, &cluster.account);
        let of = (cluster.arn(), &cluster.name, cluster.engine.as_str());
        let snapshot = SnapshotName::of_backup("job", id);
        Self::new(
            BackupJobKind::Backup,
            owner,
            of,
            (vault, snapshot),
            (id, now),
        )
    }

    /// A job that does something with a recovery point, as it is before anything else is said of it.
    pub fn of_point(
        kind: BackupJobKind,
        snapshot: &Snapshot,
        point: &RecoveryPoint,
        (id, now): (&uuid::Uuid, Timestamp),
    ) -> Self {
        let owner = (&snapshot.region, &snapshot.account);
        let of = (
            point.resource.clone(),
            &snapshot.cluster_name,
            snapshot.engine.as_str(),
        );
        let is = (point.vault.clone(), snapshot.name.clone());
        Self {
            lifecycle: point.lifecycle.clone(),
            rule: point.rule.clone(),
            ..Self::new(kind, owner, of, is, (id, now))
        }
    }

    fn new(
        kind: BackupJobKind,
        (region, account): (&Region, &Account),
        (resource, resource_name, engine): (Arn, &ClusterName, &str),
        (vault, snapshot): (BackupVaultName, SnapshotName),
        (id, now): (&uuid::Uuid, Timestamp),
    ) -> Self {
        Self {
            region: region.clone(),
            account: account.clone(),
            id: id.to_string(),
            kind,
            state: BackupJobState::Created,
            message: None,
            vault,
            resource,
            resource_name: resource_name.to_string(),
            resource_type: resource_type(engine).to_owned(),
            snapshot,
            kms_key: None,
            iam_role: String::new(),
            lifecycle: Lifecycle::default(),
            idempotency_token: None,
            created_at: now,
            start_by: now,
            complete_by: None,
            ended_at: None,
            bytes: None,
            rule: None,
            tags: Vec::new(),
            copies: BTreeMap::new(),
            copy: None,
            restore: None,
        }
    }

    /// The same job as one that could not even begin.
    #[must_use]
    pub fn failed(self, why: String) -> Self {
        Self {
            state: BackupJobState::Failed,
            ended_at: Some(self.created_at),
            message: Some(why),
            ..self
        }
    }

    /// Whether a restore testing plan asked for it.
    pub fn is_drill(&self) -> bool {
        let plan = self.restore.as_ref().map(|of| of.testing_plan.is_some());
        plan.unwrap_or_default()
    }

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

    /// The region and the account of the vault that the recovery point goes to.
    pub fn goes_to(&self) -> (&Region, &Account) {
        match &self.copy {
            Some(copy) => (&copy.to.region, &copy.to.account),
            None => (&self.region, &self.account),
        }
    }

    /// The recovery point's ARN.
    pub fn point_arn(&self) -> Arn {
        let (region, account) = self.goes_to();
        Arn::of(
            Kind::ClusterSnapshot,
            region,
            account,
            self.snapshot.as_str(),
        )
    }

    /// The ARN of the vault that it goes to.
    pub fn vault_arn(&self) -> Arn {
        let (region, account) = self.goes_to();
        Arn::of(Kind::BackupVault, region, account, self.vault.as_str())
    }
}
