//! Actions of the Resource Groups Tagging API: the tags of clusters, snapshots and keys, by ARN.
//!
//! A thin front: the tags are the resources' own, and so are the rules.
pub(super) mod get_resources;
pub(super) mod get_tag_keys;
pub(super) mod get_tag_values;
pub(super) mod tag_resources;
pub(super) mod untag_resources;
