//! AWS Backup actions (REST-JSON).
pub(super) mod access_policy;
pub(super) mod backup_jobs;
pub(super) mod backup_plans;
pub(super) mod backup_selections;
pub(super) mod copy_jobs;
pub(super) mod create_backup_vault;
pub(super) mod delete_backup_vault;
pub(super) mod describe_backup_vault;
pub(super) mod job_summaries;
pub(super) mod list_backup_vaults;
pub(super) mod list_recovery_points_by_resource;
pub(super) mod protected_resources;
pub(super) mod recovery_points;
pub(super) mod restore_jobs;
pub(super) mod settings;
pub(super) mod start_backup_job;
pub(super) mod tags;
