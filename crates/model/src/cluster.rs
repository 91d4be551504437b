//! A DB cluster: the record and its legal states.
use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    backups::BackupState,
    clock::Timestamp,
    cluster_options::{ClusterOptions, PendingChanges, Window},
    ids::{Account, Hash, Region, ResourceId, VolumeRef},
    key::WrappedKey,
    limits,
    log::LogStream,
    names::ClusterName,
    secret::MasterSecret,
    spread::Spread,
    tag::Tag,
    told::Told,
};

/// Where a cluster stands. RDS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterStatus {
    /// Being made, or loaded from a snapshot.
    Creating,
    /// Runs, and takes connections.
    Available,
    /// Another of its instances is about to take its writes.
    FailingOver,
    /// Its server is being stopped.
    Stopping,
    /// Its files are there, and no server.
    Stopped,
    /// Its server is being started again.
    Starting,
    /// Its server is being started anew.
    Rebooting,
    /// Something of it is being changed.
    Modifying,
    /// Its server is being given another version.
    Upgrading,
    /// Its master user is being given another password.
    ResettingMasterCredentials,
    /// Being removed, perhaps after a final snapshot.
    Deleting,
    /// Could not be made. Its record says why; it can be deleted.
    Failed,
}

impl ClusterStatus {
    /// All.
    pub const ALL: [Self; 12] = [
        Self::Creating,
        Self::Available,
        Self::FailingOver,
        Self::Stopping,
        Self::Stopped,
        Self::Starting,
        Self::Rebooting,
        Self::Modifying,
        Self::Upgrading,
        Self::ResettingMasterCredentials,
        Self::Deleting,
        Self::Failed,
    ];

    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::FailingOver => "failing-over",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Rebooting => "rebooting",
            Self::Modifying => "modifying",
            Self::Upgrading => "upgrading",
            Self::ResettingMasterCredentials => "resetting-master-credentials",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
        }
    }

    /// Whether a cluster may go from this state to `next`.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Creating, Self::Available | Self::Failed)
                | (Self::Available, Self::FailingOver)
                | (Self::FailingOver, Self::Available)
                | (
                    Self::Available,
                    Self::Stopping
                        | Self::Rebooting
                        | Self::Modifying
                        | Self::Upgrading
                        | Self::ResettingMasterCredentials
                )
                | (
                    Self::Rebooting
                        | Self::Modifying
                        | Self::Upgrading
                        | Self::ResettingMasterCredentials,
                    Self::Available
                )
                // Given up: the server may run or not, and is seen to.
                | (Self::Stopping, Self::Stopped | Self::Available)
                | (Self::Stopped, Self::Starting)
                // Given up: it is as it was.
                | (Self::Starting, Self::Available | Self::Stopped)
                | (Self::Available | Self::Stopped | Self::Failed, Self::Deleting)
                // Given up: with its files whole, or without.
                | (Self::Deleting, Self::Available | Self::Stopped | Self::Failed)
        )
    }

    /// Whether it takes no snapshots of its own, since its data does not change.
    pub fn rests(self) -> bool {
        matches!(self, Self::Stopping | Self::Stopped)
    }

    /// Whether its server is being changed by a job, which goes on after a restart of the process.
    pub fn is_changing(self) -> bool {
        matches!(
            self,
            Self::FailingOver
                | Self::Stopping
                | Self::Starting
                | Self::Rebooting
                | Self::Modifying
                | Self::Upgrading
                | Self::ResettingMasterCredentials
        )
    }
}

/// The snapshot that the next one of a cluster is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The manifest, in the cluster's volume and region.
    pub manifest: Hash,
    /// Its data key, wrapped for the cluster; none in an unencrypted volume.
    pub wrapped_key: Option<WrappedKey>,
    /// What changed since the one before; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// How much of a cluster's files changed from one snapshot to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Blocks that are not what they were: changed, added, or gone.
    pub blocks: u64,
    /// Of how many: those of the larger of the two.
    pub of: u64,
}

impl Change {
    /// From so many blocks to so many, of which some are at their places what they were.
    pub fn between(before: u64, after: u64, same: u64) -> Self {
        let of = before.max(after);
        Self {
            blocks: of.saturating_sub(same),
            of,
        }
    }

    /// The share that changed, from 0 to 1.
    pub fn ratio(self) -> f64 {
        match self.of {
            0 => 0.0,
            of => self.blocks as f64 / of as f64,
        }
    }

    /// Bytes that changed, in whole blocks.
    pub fn bytes(self) -> u64 {
        self.blocks.saturating_mul(limits::BLOCK_BYTES as u64)
    }
}

/// A DB cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// Its name, unique in region and account.
    pub name: ClusterName,
    /// Its name for life.
    pub resource_id: ResourceId,
    /// Where it stands.
    pub status: ClusterStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// The API's name for it.
    pub engine: String,
    /// As the database says it, such as `15.18`.
    pub engine_version: String,
    /// The role that the creator named.
    pub master_username: String,
    /// The database made with the cluster, if one was named.
    pub database_name: Option<String>,
    /// Whether what reaches the vault is sealed.
    pub storage_encrypted: bool,
    /// The key's ARN, when sealed.
    pub kms_key: Option<Arn>,
    /// The lineage that its snapshots belong to.
    pub volume: VolumeRef,
    /// The last snapshot taken of it.
    pub base: Option<Base>,
    /// Whether its snapshots get its tags.
    pub copy_tags_to_snapshot: bool,
    /// Whether DeleteDBCluster is refused.
    pub deletion_protection: bool,
    /// Days, 1 to 35.
    pub backup_retention_days: u32,
    /// `hh24:mi-hh24:mi`, UTC.
    pub preferred_backup_window: String,
    /// Names of zones in the region.
    pub availability_zones: Vec<String>,
    /// `provisioned`.
    pub engine_mode: String,
    /// As given; Multi-AZ clusters have one.
    pub storage_type: Option<String>,
    /// GiB, as given for a Multi-AZ cluster; 1 for Aurora.
    pub allocated_storage_gib: u32,
    /// As given for a Multi-AZ cluster.
    pub iops: Option<u32>,
    /// As given for a Multi-AZ cluster.
    pub instance_class: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Why it failed.
    pub failure: Option<Told>,
    /// Whole percent of the restore that makes it; none when no restore does.
    #[serde(default)]
    pub percent_progress: Option<u8>,
    /// What was chosen beside the database itself.
    #[serde(default, skip_serializing_if = "ClusterOptions::is_empty")]
    pub options: Box<ClusterOptions>,
    /// What waits for a restart or the maintenance window.
    #[serde(default, skip_serializing_if = "PendingChanges::is_empty")]
    pub pending: Box<PendingChanges>,
    /// When it is started again by itself, while it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts_at: Option<Timestamp>,
    /// How its automated snapshots stand.
    #[serde(default, skip_serializing_if = "BackupState::is_empty")]
    pub backups: BackupState,
    /// The secret that holds its master user's password, where RDS manages that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_secret: Option<Box<MasterSecret>>,
    /// The streams of its log in the vault; the last one goes on, unless it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogStream>,
    /// How its writes are handed over; none when its instances are on one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Box<Spread>>,
}

impl Cluster {
    /// `arn:…:cluster:<name>`.
    pub fn arn(&self) -> Arn {
        Arn::rds(&self.region, &self.account, "cluster", self.name.as_str())
    }

    /// The ARN of its master user's secret.
    pub fn secret_arn(&self) -> Option<Arn> {
        let secret = self.master_secret.as_ref()?;
        Some(secret.arn(&self.region, &self.account))
    }

    /// Whether it is a Multi-AZ DB cluster: a writer and two readers from its creation, and a commit
    /// waits for one of them.
    pub fn is_multi_az(&self) -> bool {
        !self.is_aurora() && self.instance_class.is_some()
    }

    /// Its daily backup window.
    pub fn backup_window(&self) -> Window {
        let read = Window::daily(&self.preferred_backup_window);
        read.unwrap_or_else(|| Window::drawn(self.created_at))
    }

    /// Its weekly maintenance window: as given, or the half hour behind its backup window.
    pub fn maintenance_window(&self) -> String {
        let drawn = || Window::weekly_after(self.backup_window(), self.created_at).text();
        let given = self.options.maintenance_window.clone();
        given.unwrap_or_else(drawn)
    }

    /// Whether it is an Aurora cluster; a Multi-AZ DB cluster otherwise.
    pub fn is_aurora(&self) -> bool {
        self.engine.starts_with("aurora")
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer, value, value::StrDeserializer};

    use super::*;

    #[test]
    fn every_state_that_is_passed_through_has_a_way_out() {
        for status in ClusterStatus::ALL {
            let ways = ClusterStatus::ALL
                .iter()
                .filter(|next| status.may_become(**next));
            assert!(0 < ways.count(), "{status:?}");
            let word: StrDeserializer<'_, value::Error> = status.as_str().into_deserializer();
            assert_eq!(ClusterStatus::deserialize(word), Ok(status));
            if status.is_changing() {
                let settled = [ClusterStatus::Available, ClusterStatus::Stopped];
                assert!(
                    settled.iter().any(|next| status.may_become(*next)),
                    "{status:?}"
                );
                assert!(!status.may_become(ClusterStatus::Deleting), "{status:?}");
            }
        }
    }
}
