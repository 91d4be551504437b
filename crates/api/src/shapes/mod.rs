//! Wire shapes that several actions share, under their RDS member names.
//!
//! A list item's XML element is named by the serde type name of its type; see `wire::xml`.
mod attributes;
mod cluster;
pub mod credentials;
pub mod engine_names;
mod filter;
mod identifier;
mod instance;
mod page;
mod snapshot;
pub mod tagged;
mod tags;

pub use attributes::{AttributesOutput, RESTORE};
pub use cluster::{ClusterOutput, DbCluster};
pub use filter::Filter;
pub use identifier::{
    ClusterRef, InstanceRef, Ref, ResourceName, SnapshotRef, cluster_name, final_snapshot,
    instance_name, manual_snapshot,
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

/// The zones of a region, `<region>a` to `<region>c`.
pub fn zones_of(region: &model::Region) -> Vec<String> {
    ["a", "b", "c"]
        .iter()
        .map(|zone| format!("{region}{zone}"))
        .collect()
}
