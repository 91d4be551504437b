//! A DB instance: one server of a cluster, and where it is.
use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    cluster::Cluster,
    ids::{Account, InstanceId, Region, ResourceId},
};

/// What an instance does for its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceRole {
    /// Takes writes. A cluster has at most one.
    Writer,
    /// Follows the writer, and answers reads.
    Reader,
}

impl InstanceRole {
    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
        }
    }
}

/// How an instance's server is reached and where its files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The node whose data folder has the files.
    pub node: String,
    /// The host that clients connect to.
    pub host: String,
    /// The TCP port that clients connect to.
    pub port: u16,
    /// The OS user that the server runs as; none when Snapferry itself is not root.
    pub os_uid: Option<u32>,
    /// The attempt whose folder holds the data: `clusters/<resource id>/<attempt>`. Empty until one
    /// is whole, and again once its files have begun to go.
    pub attempt: String,
}

impl Placement {
    /// Whether there are files that a server can run on.
    pub fn is_whole(&self) -> bool {
        !self.attempt.is_empty()
    }
}

/// A DB instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its cluster's region.
    pub region: Region,
    /// Its cluster's owner.
    pub account: Account,
    /// Its name for life.
    pub id: InstanceId,
    /// Its cluster.
    pub cluster: ResourceId,
    /// What it does there.
    pub role: InstanceRole,
    /// A zone of the region.
    pub availability_zone: Option<String>,
    /// As given for a Multi-AZ cluster.
    pub class: Option<String>,
    /// Where it is.
    pub placement: Placement,
}

impl Instance {
    /// The writer that a cluster is made with.
    pub fn first_writer(cluster: &Cluster, placement: Placement) -> Self {
        Self {
            region: cluster.region.clone(),
            account: cluster.account.clone(),
            id: InstanceId::first_of(&cluster.resource_id),
            cluster: cluster.resource_id.clone(),
            role: InstanceRole::Writer,
            availability_zone: cluster.availability_zones.first().cloned(),
            class: cluster.instance_class.clone(),
            placement,
        }
    }

    /// `arn:…:db:<id>`.
    pub fn arn(&self) -> Arn {
        Arn::rds(&self.region, &self.account, "db", self.id.as_str())
    }
}
