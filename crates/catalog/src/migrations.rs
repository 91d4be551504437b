//! Every migration, once for both databases: the schema's number is how many of them were applied.
//!
//! They are only ever added, each with a file of its name in both folders.

/// A step of the schema.
#[derive(Debug)]
pub(crate) struct Migration {
    /// Its number and what it brings.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) name: &'static str,
    /// The statements for SQLite.
    pub(crate) sqlite: &'static str,
    /// The same for PostgreSQL.
    pub(crate) postgres: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        pub(crate) const MIGRATIONS: &[Migration] = &[$(Migration {
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        }),*];
    };
}

migrations![
    "0001_first",
    "0002_grants_accounts",
    "0003_webhooks_turns",
    "0004_nodes",
    "0005_fewer_indexes",
    "0006_letters_name_records",
    "0007_verified",
    "0008_index_order",
    "0009_link_passes",
    "0010_manifests_in_index",
    "0011_sweep_marks",
    "0012_keys_by_id",
    "0013_node_tasks",
    "0014_job_pins",
    "0015_instances",
    "0016_job_subjects",
    "0017_around_clusters",
    "0018_backup_vaults",
    "0019_retained_backups",
    "0020_backup_jobs",
    "0021_backup_plans",
    "0022_snapshot_times",
    "0023_recovery_points",
    "0024_locks",
    "0025_node_zones",
    "0026_restore_testing",
    "0027_job_traces",
    "0028_backup_replication",
    "0029_receipt_chains",
    "0030_jobs_by_resource",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a list of names beside the files of one folder.
    fn wrong(names: &[&str], files: &[String]) -> Option<String> {
        for (at, name) in names.iter().enumerate() {
            if !name.starts_with(&format!("{:04}_", at + 1)) {
                return Some(format!("{name} is not number {}", at + 1));
            }
        }
        let listed: Vec<String> = names.iter().map(|name| format!("{name}.sql")).collect();
        files
            .iter()
            .find(|file| !listed.contains(file))
            .map(|file| format!("{file} is not listed"))
    }

    #[test]
    fn numbers_have_no_gap_and_no_file_is_left_out() {
        let names: Vec<&str> = MIGRATIONS.iter().map(|one| one.name).collect();
        for database in ["sqlite", "postgres"] {
            let folder = format!("{}/migrations/{database}", env!("CARGO_MANIFEST_DIR"));
            let files: Vec<String> = std::fs::read_dir(folder)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name())
                .map(|name| name.into_string().expect("a name"))
                .collect();
            assert_eq!(wrong(&names, &files), None, "{database}");
            assert_eq!(files.len(), names.len(), "{database}");
        }
        assert!(wrong(&["0001_a", "0003_c"], &[]).is_some(), "a gap");
        let unlisted = ["0001_a.sql".to_owned(), "0002_b.sql".to_owned()];
        assert!(wrong(&["0001_a"], &unlisted).is_some(), "one folder's own");
    }
}
