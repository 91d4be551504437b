//! Actions of Secrets Manager, one file each: what there is of it for secrets that RDS manages.
pub(super) mod describe_secret;
pub(super) mod get_resource_policy;
pub(super) mod get_secret_value;
pub(super) mod list_secret_version_ids;
pub(super) mod list_secrets;
pub(super) mod managed;
pub(super) mod rotate_secret;
