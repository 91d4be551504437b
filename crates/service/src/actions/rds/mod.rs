//! RDS actions.
pub(super) mod add_tags_to_resource;
pub(super) mod copy_db_cluster_snapshot;
pub(super) mod create_db_cluster;
pub(super) mod create_db_cluster_snapshot;
pub(super) mod delete_db_cluster;
pub(super) mod delete_db_cluster_snapshot;
pub(super) mod describe_db_cluster_snapshot_attributes;
pub(super) mod describe_db_cluster_snapshots;
pub(super) mod describe_db_clusters;
pub(super) mod list_tags_for_resource;
pub(super) mod modify_db_cluster_snapshot_attribute;
pub(super) mod remove_tags_from_resource;
pub(super) mod restore_db_cluster_from_snapshot;
mod tagged;
