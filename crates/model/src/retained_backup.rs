//! Automated backups that have no cluster beside them: what stays of one that was deleted, and what is brought
//! to another region of one that is there.
use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    clock::Timestamp,
    cluster::Cluster,
    ids::{Account, Region, ResourceId},
};

/// A cluster that is not in this region, or no more, and whose automated snapshots are: until they expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedBackup {
    /// The cluster, as it was. Of one in another region: with this region, and the key and the log that it has here.
    pub cluster: Cluster,
    /// Where it listened.
    pub port: Option<u16>,
    /// When it was deleted, or when its backups were brought here no longer; none while they are.
    pub deleted_at: Option<Timestamp>,
    /// The region that they are brought from; none when the cluster was in this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought_from: Option<Region>,
}

impl RetainedBackup {
    /// Whether they are being brought here.
    pub fn is_brought(&self) -> bool {
        self.brought_from.is_some() && self.deleted_at.is_none()
    }
}

/// The ARN of a cluster's automated backups: it goes by the cluster's name for life.
pub fn arn(region: &Region, account: &Account, cluster: &ResourceId) -> Arn {
    let id = cluster.as_str().trim_start_matches("cluster-");
    let name = format!("ab-{}", id.to_ascii_lowercase());
    Arn::rds(region, account, "cluster-auto-backup", &name)
}
