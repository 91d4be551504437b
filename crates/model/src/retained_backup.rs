//! What stays of a cluster that was deleted without its automated backups.
use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    clock::Timestamp,
    cluster::Cluster,
    ids::{Account, Region, ResourceId},
};

/// A deleted cluster whose automated snapshots are kept until they expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedBackup {
    /// The cluster, as it was.
    pub cluster: Cluster,
    /// Where it listened.
    pub port: Option<u16>,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

/// The ARN of a cluster's automated backups: it goes by the cluster's name for life.
pub fn arn(region: &Region, account: &Account, cluster: &ResourceId) -> Arn {
    let id = cluster.as_str().trim_start_matches("cluster-");
    let name = format!("ab-{}", id.to_ascii_lowercase());
    Arn::rds(region, account, "cluster-auto-backup", &name)
}
