//! Which parameters nobody but Snapferry sets, and why.

use crate::{
    parameters::SYNCHRONOUS_BACKUP,
    postgres::{install::Install, places},
};

/// What RDS has beside PostgreSQL's own: whether clients without TLS are refused.
pub(in crate::postgres) const FORCE_TLS: &str = "rds.force_ssl";
/// Whether the log tells what logical replication needs.
pub(in crate::postgres) const LOGICAL: &str = "rds.logical_replication";

/// The parameter that names libraries to be loaded by the server.
pub(super) const PRELOADED: &str = "shared_preload_libraries";

/// Libraries that may be preloaded where they are installed: none of them acts for its users with
/// more rights than they have.
const LIBRARIES: [&str; 5] = [
    "auto_explain",
    "pg_hint_plan",
    "pg_prewarm",
    "pg_stat_statements",
    "pgaudit",
];

const PLACES: &str = "files, addresses and users of clusters are Snapferry's";
const DURABLE: &str = "snapshots and restores rest on it";
const REPLICAS: &str = "Snapferry makes and follows replicas";
const MESSAGES: &str = "the server's messages go to a file that Snapferry opens and cuts";
const SECRETS: &str = "it could show what statements hold to others";
const PROGRAMS: &str = "it names programs or libraries that the server runs";
const DEVELOPERS: &str = "it is for developers of PostgreSQL";

/// Categories of which nothing is free but what [`FREE`] names.
const CATEGORIES: &[(&str, &str)] = &[
    ("File Locations", PLACES),
    ("Connections and Authentication", PLACES),
    ("Replication / Primary Server", REPLICAS),
    ("Replication / Sending Servers", REPLICAS),
    ("Replication / Standby Servers", REPLICAS),
    ("Write-Ahead Log / Archiv", DURABLE),
    ("Write-Ahead Log / Recovery", DURABLE),
    ("Write-Ahead Log / Settings", DURABLE),
    ("Write-Ahead Log / Summarization", DURABLE),
    ("Reporting and Logging / Where to Log", MESSAGES),
    ("Reporting and Logging / Process Title", SECRETS),
    ("Error Handling", DURABLE),
    ("Client Connection Defaults / Shared Library", PROGRAMS),
    ("Developer Options", DEVELOPERS),
    ("Preset Options", DEVELOPERS),
];

/// What is free of those categories.
#[rustfmt::skip]
const FREE: &[&str] = &[
    "authentication_timeout", "client_connection_check_interval", "max_connections", "reserved_connections",
    "superuser_reserved_connections", "tcp_keepalives_count", "tcp_keepalives_idle", "tcp_keepalives_interval",
    "tcp_user_timeout",
    "hot_standby_feedback", "max_standby_archive_delay", "max_standby_streaming_delay", "track_commit_timestamp",
    "max_slot_wal_keep_size",
    "wal_receiver_status_interval", "wal_receiver_timeout", "wal_sender_timeout",
    "commit_delay", "commit_siblings", "synchronous_commit", "wal_buffers", "wal_compression", "wal_skip_threshold",
    "wal_writer_delay", "wal_writer_flush_after",
    PRELOADED,
];

/// What is kept of the other categories.
const KEPT: &[(&str, &str)] = &[
    ("dynamic_shared_memory_type", PLACES),
    ("shared_memory_type", PLACES),
    ("log_min_error_statement", SECRETS),
    ("log_line_prefix", MESSAGES),
];

/// Texts that are free: any other text may name a file, a program or a user.
#[rustfmt::skip]
const FREE_TEXTS: &[&str] = &[
    "DateStyle", "TimeZone", "createrole_self_grant", "default_table_access_method", "default_tablespace",
    "default_text_search_config", "lc_messages", "lc_monetary", "lc_numeric", "lc_time", "log_timezone",
    "pgaudit.log", "pgaudit.role", "search_path", "temp_tablespaces",
];

/// Why a parameter is kept, if it is.
pub(super) fn kept(name: &str, category: &str, kind: &str) -> Option<&'static str> {
    let listed = KEPT.iter().find(|(kept, _)| *kept == name);
    if let Some((_, why)) = listed {
        return Some(why);
    }
    if FREE.contains(&name) {
        return None;
    }
    let of_category = CATEGORIES
        .iter()
        .find(|(prefix, _)| category.starts_with(prefix));
    match of_category {
        Some((_, why)) => Some(why),
        None if kind == "string" && !FREE_TEXTS.contains(&name) => Some(PROGRAMS),
        None => None,
    }
}

/// Whether a parameter is RDS's or Snapferry's, and not the server's own.
pub(super) fn is_beside(name: &str) -> bool {
    [FORCE_TLS, LOGICAL, SYNCHRONOUS_BACKUP].contains(&name)
}

/// Parameters of which a server that follows needs as much as its writer has, or it stops replaying and
/// cannot be promoted. Source: "Hot Standby", PostgreSQL's manual.
pub(in crate::postgres) const SAME_EVERYWHERE: [&str; 6] = [
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
    "wal_level",
];

/// The libraries that may be preloaded and are installed.
pub(super) fn libraries(install: &Install) -> Vec<String> {
    let found = places::installed(install, &LIBRARIES);
    found.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_snapferry_needs_is_kept() {
        for (name, category, kind) in [
            ("data_directory", "File Locations", "string"),
            (
                "port",
                "Connections and Authentication / Connection Settings",
                "integer",
            ),
            (
                "ssl_cert_file",
                "Connections and Authentication / SSL",
                "string",
            ),
            ("archive_command", "Write-Ahead Log / Archiving", "string"),
            (
                "archive_cleanup_command",
                "Write-Ahead Log / Archive Recovery",
                "string",
            ),
            (
                "recovery_target_time",
                "Write-Ahead Log / Recovery Target",
                "string",
            ),
            ("fsync", "Write-Ahead Log / Settings", "bool"),
            (
                "synchronous_standby_names",
                "Replication / Primary Server",
                "string",
            ),
            (
                "session_preload_libraries",
                "Client Connection Defaults / Shared Library Preloading",
                "string",
            ),
            (
                "dynamic_library_path",
                "Client Connection Defaults / Other Defaults",
                "string",
            ),
            ("some.new_text", "Customized Options", "string"),
            ("zero_damaged_pages", "Developer Options", "bool"),
        ] {
            assert!(kept(name, category, kind).is_some(), "{name}");
        }
        for (name, category, kind) in [
            ("work_mem", "Resource Usage / Memory", "integer"),
            (
                "max_connections",
                "Connections and Authentication / Connection Settings",
                "integer",
            ),
            (
                "shared_preload_libraries",
                "Client Connection Defaults / Shared Library Preloading",
                "string",
            ),
            (
                "search_path",
                "Client Connection Defaults / Statement Behavior",
                "string",
            ),
            ("pg_stat_statements.track", "Customized Options", "enum"),
        ] {
            assert_eq!(kept(name, category, kind), None, "{name}");
        }
    }
}
