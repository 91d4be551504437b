//! Which variables nobody but Snapferry sets, and why.

const PLACES: &str = "files, addresses and users of clusters are Snapferry's";
const DURABLE: &str = "snapshots and restores rest on it";
const REPLICAS: &str = "Snapferry makes and follows replicas";
const MESSAGES: &str = "the server's messages go to a file that Snapferry opens and cuts";
const SECRETS: &str = "it decides who is let in, and how secrets are kept";
const MEMORY: &str = "its default follows from what else is chosen";
const PROGRAMS: &str = "it names files, programs or libraries that the server reads or runs";

/// Why a variable is kept that is no option of the server's program.
pub(super) const NO_OPTION: &str = "servers take it from sessions alone";

/// What names begin with that are kept. The first that fits counts.
const PREFIXES: &[(&str, &str)] = &[
    ("admin_", PLACES),
    ("audit_", MESSAGES),
    ("authentication_", SECRETS),
    ("auto_generate_", SECRETS),
    ("base", PLACES),
    ("bind_", PLACES),
    ("binlog_", REPLICAS),
    ("caching_sha2_", SECRETS),
    ("character_sets_dir", PLACES),
    ("clone_", DURABLE),
    ("core_", PLACES),
    ("create_admin_", PLACES),
    ("daemon", PROGRAMS),
    ("datadir", PLACES),
    ("debug", PROGRAMS),
    ("default_authentication", SECRETS),
    ("default_table_encryption", DURABLE),
    ("disabled_storage_engines", DURABLE),
    ("dragnet", MESSAGES),
    ("enforce_gtid", REPLICAS),
    ("ft_stopword_file", PROGRAMS),
    ("general_log", MESSAGES),
    ("group_replication", REPLICAS),
    ("gtid_", REPLICAS),
    ("init_file", PROGRAMS),
    ("init_replica", REPLICAS),
    ("init_slave", REPLICAS),
    ("innodb_api_", PROGRAMS),
    ("innodb_buffer_pool_dump", DURABLE),
    ("innodb_buffer_pool_filename", PLACES),
    ("innodb_buffer_pool_load", DURABLE),
    ("innodb_checksum", DURABLE),
    ("innodb_data_", PLACES),
    ("innodb_dedicated", DURABLE),
    ("innodb_directories", PLACES),
    ("innodb_doublewrite", DURABLE),
    ("innodb_fast_shutdown", DURABLE),
    ("innodb_file_per_table", DURABLE),
    ("innodb_flush_method", DURABLE),
    ("innodb_force_", DURABLE),
    ("innodb_log_", DURABLE),
    ("innodb_page_size", DURABLE),
    ("innodb_read_only", DURABLE),
    ("innodb_redo_", DURABLE),
    ("innodb_temp", PLACES),
    ("innodb_tmpdir", PLACES),
    ("innodb_undo_", DURABLE),
    ("innodb_use_fdatasync", DURABLE),
    ("innodb_validate_", DURABLE),
    ("keyring", SECRETS),
    ("large_page", PLACES),
    ("lc_messages", PLACES),
    ("locked_in_memory", PLACES),
    ("log_bin", REPLICAS),
    ("log_error", MESSAGES),
    ("log_output", MESSAGES),
    ("log_raw", SECRETS),
    ("log_replica", REPLICAS),
    ("log_slave", REPLICAS),
    ("lower_case_", DURABLE),
    ("mandatory_roles", SECRETS),
    ("master_", REPLICAS),
    ("max_binlog", REPLICAS),
    ("max_relay", REPLICAS),
    ("myisam_", DURABLE),
    ("mysql_native", SECRETS),
    ("mysqlx", PLACES),
    ("named_pipe", PLACES),
    ("offline_mode", DURABLE),
    ("partial_revokes", SECRETS),
    ("password", SECRETS),
    ("performance_schema_", MEMORY),
    ("persist", PLACES),
    ("pid_file", PLACES),
    ("plugin", PROGRAMS),
    ("port", PLACES),
    ("protocol_", SECRETS),
    ("proxy", SECRETS),
    ("read_only", REPLICAS),
    ("relay_", REPLICAS),
    ("replica", REPLICAS),
    ("report_", REPLICAS),
    ("require_row_format", DURABLE),
    ("rpl_", REPLICAS),
    ("secure_", SECRETS),
    ("server_", REPLICAS),
    ("sha256_", SECRETS),
    ("skip_", PLACES),
    ("slave_", REPLICAS),
    ("slow_query_log_file", MESSAGES),
    ("socket", PLACES),
    ("source_", REPLICAS),
    ("sql_log_", REPLICAS),
    ("sql_replica_", REPLICAS),
    ("sql_slave_", REPLICAS),
    ("ssl_", SECRETS),
    ("super_", REPLICAS),
    ("sync_", REPLICAS),
    ("telemetry", MESSAGES),
    ("thread_handling", PROGRAMS),
    ("tls_", SECRETS),
    ("tmpdir", PLACES),
    ("validate_password", SECRETS),
    ("version", PLACES),
    ("xa_detach", DURABLE),
];

/// Texts that are free: any other text may name a file, a program or a user.
const FREE_TEXTS: &[&str] = &[
    "character_set_client",
    "character_set_connection",
    "character_set_database",
    "character_set_filesystem",
    "character_set_results",
    "character_set_server",
    "collation_connection",
    "collation_database",
    "collation_server",
    "default_collation_for_utf8mb4",
    "ft_boolean_syntax",
    "init_connect",
    "time_zone",
];

/// Why a variable is kept, if it is.
pub(super) fn kept(name: &str, kind: &str) -> Option<&'static str> {
    let listed = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
    match listed {
        Some((_, why)) => Some(why),
        None if kind == "String" && !FREE_TEXTS.contains(&name) => Some(PROGRAMS),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_snapferry_needs_is_kept() {
        for (name, kind) in [
            ("datadir", "String"),
            ("port", "Integer"),
            ("bind_address", "String"),
            ("plugin_dir", "String"),
            ("init_file", "String"),
            ("innodb_doublewrite", "Enumeration"),
            ("innodb_redo_log_capacity", "Integer"),
            ("general_log", "Boolean"),
            ("some_new_text", "String"),
        ] {
            assert!(kept(name, kind).is_some(), "{name}");
        }
        for (name, kind) in [
            ("max_connections", "Integer"),
            ("sql_mode", "Set"),
            ("innodb_buffer_pool_size", "Integer"),
            ("time_zone", "String"),
            ("slow_query_log", "Boolean"),
            ("long_query_time", "Numeric"),
            ("require_secure_transport", "Boolean"),
        ] {
            assert_eq!(kept(name, kind), None, "{name}");
        }
    }
}
