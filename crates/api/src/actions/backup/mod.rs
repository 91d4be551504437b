//! AWS Backup actions (REST-JSON).
pub(super) mod access_policy;
pub(super) mod create_backup_vault;
pub(super) mod delete_backup_vault;
pub(super) mod describe_backup_vault;
pub(super) mod list_backup_vaults;
pub(super) mod tags;
