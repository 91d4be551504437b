//! Snapferry's own actions: answers that AWS has no action for. See decision 20.
pub(super) mod describe_cluster_authority;
pub(super) mod describe_db_cluster_snapshot_costs;
pub(super) mod describe_db_cluster_snapshot_diff;
pub(super) mod describe_drills;
pub(super) mod describe_jobs;
pub(super) mod run_backup_plan;
pub(super) mod run_restore_testing_plan;
