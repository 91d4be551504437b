//! Durable background work: the row that says what is to be done and how far it is.
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    ids::{Account, Hash, JobId, Region, VolumeRef},
};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Makes a new cluster.
    CreateCluster,
    /// Takes a snapshot of a cluster.
    CreateSnapshot,
    /// Ships a snapshot from another region.
    CopySnapshot,
    /// Makes a cluster from a snapshot.
    RestoreCluster,
    /// Removes a cluster, after its final snapshot if there is one.
    DeleteCluster,
    /// Looks at what is kept in the vaults.
    VerifyVault,
}

impl JobKind {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::CreateCluster,
        Self::CreateSnapshot,
        Self::CopySnapshot,
        Self::RestoreCluster,
        Self::DeleteCluster,
        Self::VerifyVault,
    ];

    /// The word in rows, logs and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateCluster => "create-cluster",
            Self::CreateSnapshot => "create-snapshot",
            Self::CopySnapshot => "copy-snapshot",
            Self::RestoreCluster => "restore-cluster",
            Self::DeleteCluster => "delete-cluster",
            Self::VerifyVault => "verify-vault",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Waits for a runner, or runs under a lease.
    Open,
    /// Did its work.
    Done,
    /// Was given up; `error` says why.
    Failed,
    /// Its record was deleted; what it had done is left to the sweep.
    Canceled,
}

impl JobState {
    /// The word in rows and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// A manifest whose reach a job needs kept, or a volume that it is about to write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The region whose vault it is in.
    pub region: Region,
    /// The volume.
    pub volume: VolumeRef,
    /// The manifest, once one is known.
    pub manifest: Option<Hash>,
}

/// What a job has moved; never falls, also across tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes there are to do, as far as known.
    pub bytes_total: u64,
    /// Bytes done or found already there.
    pub bytes_done: u64,
    /// Bytes that went over the link or into the vault, all tries together.
    pub bytes_shipped: u64,
    /// Objects that went over, all tries together.
    pub objects_shipped: u64,
    /// Bytes found already held, in the last try.
    pub bytes_held: u64,
}

impl Progress {
    /// Whole percent done, at most 99: only the commit makes it 100.
    pub fn percent(&self) -> u8 {
        if self.bytes_total == 0 {
            return 0;
        }
        let percent = u128::from(self.bytes_done) * 100 / u128::from(self.bytes_total);
        u8::try_from(percent.min(99)).unwrap_or(99)
    }
}

/// A job's row. `body` is the kind's own document (a JSON text).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The region of the record it works on.
    pub region: Region,
    /// The account of the record it works on.
    pub account: Account,
    /// The name of the record it works on.
    pub subject: String,
    /// Where it stands.
    pub state: JobState,
    /// The only node that may run it, when it touches that node's data folder.
    pub node: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Not before this moment.
    pub run_after: Timestamp,
    /// Who holds the lease.
    pub lease_owner: Option<String>,
    /// Until when.
    pub lease_until: Option<Timestamp>,
    /// Rises with every claim; a commit under an older fence is refused.
    pub fence: u64,
    /// Tries begun.
    pub attempts: u32,
    /// How far it is.
    pub progress: Progress,
    /// What it needs kept in the vaults.
    pub pins: Vec<Pin>,
    /// The kind's own document.
    pub body: String,
    /// What went wrong last.
    pub error: Option<String>,
}
