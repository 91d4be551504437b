//! Wire shapes that several actions share, under their RDS member names.
//!
//! A list item's XML element is named by the serde type name of its type; see `wire::xml`.
mod attributes;
mod automated_backup;
mod cluster;
pub mod credentials;
pub mod engine_names;
pub mod family;
mod filter;
pub mod groups;
mod identifier;
mod instance;
mod page;
mod snapshot;
pub mod tagged;
mod tags;

pub use attributes::{AttributesOutput, RESTORE};
pub use automated_backup::{DbClusterAutomatedBackup, Standing};
pub use cluster::{ClusterOutput, DbCluster};
pub use filter::Filter;
pub use identifier::{
    ClusterRef, InstanceRef, Ref, ResourceName, SnapshotRef, cluster_name, final_snapshot,
    instance_name, manual_snapshot, named,
};
pub use instance::{DbInstance, InstanceOutput};
pub use page::Page;
pub use snapshot::{DbClusterSnapshot, SnapshotOutput};
pub use tags::{Tag, fault as tag_fault, to_records};

use serde::Serialize;

/// An item of `AvailabilityZones`, as answers name it.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct AvailabilityZone(pub String);

/// An item of `EventCategories`, as answers name it.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct EventCategory(pub String);

/// What `StorageEncryptionType` says.
fn encryption_type(encrypted: bool) -> &'static str {
    if encrypted { "sse-kms" } else { "none" }
}

/// What `StorageType` says: as given, or the default of the kind of cluster.
fn storage_type(is_aurora: bool, given: Option<&str>) -> String {
    let default = if is_aurora { "aurora" } else { "io1" };
    given.unwrap_or(default).to_owned()
}

/// What `HostedZoneId` says: there is no Route 53, and tools want no null.
const HOSTED_ZONE: &str = "ZSNAPFERRY";

/// What `VpcId` says: there is no VPC, and tools want one of this form.
pub const NO_VPC: &str = "vpc-00000000000000000";
