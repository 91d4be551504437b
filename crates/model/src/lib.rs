//! The nouns of Snapferry: identifiers, records and their legal states, limits, time and chance.
//!
//! It does not know how a record is stored, what a request looks like on the wire, or any I/O.
//! Records derive serde because the catalog keeps them as versioned JSON documents
//! (docs/decisions/0003-sqlite-shared-commits.md); new fields carry `#[serde(default)]`.
pub mod arn;
pub mod backup_job;
pub mod backup_plan;
pub mod backup_settings;
pub mod backup_vault;
pub mod backups;
pub mod clock;
pub mod cluster;
mod cluster_options;
pub mod drill_checks;
pub mod error_kind;
pub mod ids;
pub mod instance;
pub mod job;
pub mod key;
pub mod key_spec;
pub mod legal_hold;
pub mod limits;
pub mod log;
pub mod names;
pub mod pages;
pub mod parameter_group;
pub mod receipt;
pub mod recovery_point;
pub mod restore_testing;
pub mod retained_backup;
pub mod schedule;
pub mod secret;
pub mod snapshot;
pub mod spread;
pub mod subnet_group;
pub mod subscription;
pub mod tag;
pub mod told;

pub use arn::{Arn, Kind as ArnKind};
pub use backup_job::{BackupJob, BackupJobKind, BackupJobState, CopyOf, RestoreOf};
pub use backup_plan::{BackupPlan, BackupSelection, PlanBody, PlanRule, PlanVersion};
pub use backup_settings::BackupSettings;
pub use backup_vault::{BackupVault, VaultLock};
pub use backups::BackupState;
pub use clock::{Clock, Entropy, SystemClock, SystemEntropy, Timestamp};
pub use cluster::{Cluster, ClusterStatus};
pub use cluster_options::{ClusterOptions, ClusterRole, PendingChanges, Window};
pub use error_kind::ErrorKind;
pub use ids::{Account, Hash, InstanceId, JobId, Region, ResourceId, VolumeId, VolumeRef};
pub use instance::{Instance, InstanceRole, InstanceStatus, Placement};
pub use job::{Job, JobKind, JobState};
pub use key::{Grant, Key, KeyManager, KeyState, WrappedKey};
pub use legal_hold::LegalHold;
pub use log::{InLog, LogPlace, LogStream, RestoreWindow};
pub use names::{
    BackupVaultName, ClusterName, ClusterParameterGroupName, InstanceName, NameError,
    ParameterGroupName, SnapshotName, SubnetGroupName, SubscriptionName,
};
pub use parameter_group::{ApplyMethod, GroupScope, ParameterGroup, ParameterSetting};
pub use receipt::{ReceiptChain, SignedReceipt};
pub use recovery_point::{CopyAction, JobPlace, MadeBy, RecoveryPoint};
pub use restore_testing::{
    Drill, RestoreTestingPlan, RestoreTestingSelection, Validation, ValidationStatus,
};
pub use retained_backup::RetainedBackup;
pub use secret::{MasterSecret, RotationRules, SecretStatus, SecretVersion, Stage};
pub use snapshot::{Content, Snapshot, SnapshotKind, SnapshotStatus};
pub use spread::{Handover, Spread, Standing};
pub use subnet_group::{Subnet, SubnetGroup};
pub use subscription::Subscription;
pub use tag::Tag;
pub use told::Told;
