//! How a task asks for a cluster, and for its end: by the API's own actions, so that a restore that is a
//! test is the one that its owner would get.
//!
//! The actions stand above this crate: what they are is not known here.
use std::{collections::BTreeMap, fmt, future::Future, pin::Pin};

use model::{BackupJob, Snapshot, Tag};

use crate::fault::Fault;

/// What is told of a restore by name.
pub type Metadata = BTreeMap<String, String>;

/// A request that is under way.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

/// Asks as a job's account.
pub trait RestoreDoor: Send + Sync + fmt::Debug {
    /// What a restore of a snapshot for a test is told, but for the cluster's name.
    fn inferred(&self, snapshot: &Snapshot) -> Metadata;

    /// Asks for the cluster of a restore job, with these tags.
    ///
    /// # Errors
    /// As RestoreDBClusterFromSnapshot.
    fn restore<'a>(&'a self, job: &'a BackupJob, tags: &'a [Tag]) -> Asked<'a>;

    /// Asks for the end of that cluster, without a final snapshot.
    ///
    /// # Errors
    /// As DeleteDBCluster.
    fn delete<'a>(&'a self, job: &'a BackupJob) -> Asked<'a>;
}
