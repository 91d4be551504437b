//! What MySQL is to those that serve it.
//!
//! Sources: API_CreateDBCluster and API_CreateDBInstance (RDS for MySQL and Aurora MySQL), "Quotas and
//! constraints for Amazon Aurora", and `information_schema.keywords` of MySQL 9.7 for its reserved words.
use std::collections::BTreeMap;

use super::{
    client::{client, client_password},
    dump::names::part_of,
};
use crate::profile::{NameRules, Profile};

/// Bytes of a page of a table's file, unless its table is compressed.
pub(super) const PAGE_BYTES: usize = 16 << 10;

/// What MySQL is.
pub(crate) static PROFILE: Profile = Profile {
    title: "MySQL",
    names: &["aurora-mysql", "mysql"],
    series,
    part_of,
    // Its folders have the databases' own names.
    databases_in: |_| BTreeMap::new(),
    default_port: 3_306,
    license_model: "general-public-license",
    page_bytes: PAGE_BYTES,
    program: "mysqld",
    log_file: "mysqld.log",
    log_types: &[
        "audit",
        "error",
        "general",
        "iam-db-auth-error",
        "instance",
        "slowquery",
    ],
    user_names: NameRules {
        bytes_max: 16,
        reserved: &[RESERVED, USERS],
        reserved_prefix: None,
    },
    database_names: NameRules {
        bytes_max: 64,
        reserved: &[RESERVED, DATABASES],
        reserved_prefix: None,
    },
    password_chars: 8..=41,
    wanted: "MySQL of version 8.0.30 or later",
    install: "scripts/get-mysql",
    client,
    client_password,
    replicates: true,
    waits_for_followers: true,
};

/// Users that every cluster has, and names of RDS's own.
const USERS: &[&str] = &[
    "mysql",
    "public",
    "rds_superuser_role",
    "rdsadmin",
    "rdsproxyadmin",
    "rdsrepladmin",
    "root",
];
/// Databases that every cluster has and that are nobody's.
const DATABASES: &[&str] = &[
    "information_schema",
    "innodb",
    "mysql",
    "performance_schema",
    "rdsadmin",
    "sys",
    "tmp",
];
/// Words that MySQL reserves.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "accessible", "add", "all", "alter", "analyze", "and", "as", "asc", "asensitive", "before", "between",
    "bigint", "binary", "blob", "both", "by", "call", "cascade", "case", "change", "char", "character", "check",
    "collate", "column", "condition", "constraint", "continue", "convert", "create", "cross", "cube",
    "cume_dist", "current_date", "current_time", "current_timestamp", "current_user", "cursor", "database",
    "databases", "day_hour", "day_microsecond", "day_minute", "day_second", "dec", "decimal", "declare",
    "default", "delayed", "delete", "dense_rank", "desc", "describe", "deterministic", "distinct",
    "distinctrow", "div", "double", "drop", "dual", "each", "else", "elseif", "empty", "enclosed", "escaped",
    "except", "exists", "exit", "explain", "external", "false", "fetch", "first_value", "float", "float4",
    "float8", "for", "force", "foreign", "from", "fulltext", "function", "generated", "get", "grant", "group",
    "grouping", "groups", "having", "high_priority", "hour_microsecond", "hour_minute", "hour_second", "if",
    "ignore", "in", "index", "infile", "inner", "inout", "insensitive", "insert", "int", "int1", "int2", "int3",
    "int4", "int8", "integer", "intersect", "interval", "into", "io_after_gtids", "io_before_gtids", "is",
    "iterate", "join", "json_table", "key", "keys", "kill", "lag", "last_value", "lateral", "lead", "leading",
    "leave", "left", "library", "like", "limit", "linear", "lines", "load", "localtime", "localtimestamp",
    "lock", "long", "longblob", "longtext", "loop", "low_priority", "manual", "match", "maxvalue", "mediumblob",
    "mediumint", "mediumtext", "middleint", "minute_microsecond", "minute_second", "mod", "modifies", "natural",
    "not", "no_write_to_binlog", "nth_value", "ntile", "null", "numeric", "of", "on", "optimize",
    "optimizer_costs", "option", "optionally", "or", "order", "out", "outer", "outfile", "over", "parallel",
    "partition", "percent_rank", "precision", "primary", "procedure", "purge", "qualify", "range", "rank",
    "read", "reads", "read_write", "real", "recursive", "references", "regexp", "release", "rename", "repeat",
    "replace", "require", "resignal", "restrict", "return", "revoke", "right", "rlike", "row", "rows",
    "row_number", "schema", "schemas", "second_microsecond", "select", "sensitive", "separator", "set", "show",
    "signal", "smallint", "spatial", "specific", "sql", "sqlexception", "sqlstate", "sqlwarning",
    "sql_big_result", "sql_calc_found_rows", "sql_small_result", "ssl", "starting", "stored", "straight_join",
    "system", "table", "tablesample", "terminated", "then", "tinyblob", "tinyint", "tinytext", "to", "trailing",
    "trigger", "true", "undo", "union", "unique", "unlock", "unsigned", "update", "usage", "use", "using",
    "utc_date", "utc_time", "utc_timestamp", "values", "varbinary", "varchar", "varcharacter", "varying",
    "virtual", "when", "where", "while", "window", "with", "write", "xor", "year_month", "zerofill",
];

/// The first two numbers of a version: servers of one series read each other's files.
pub(super) fn series(version: &str) -> &str {
    let end = version.match_indices('.').nth(1).map(|(at, _)| at);
    match end {
        Some(end) => &version[..end],
        None => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_two_numbers() {
        for (version, expected) in [
            ("9.7.4", "9.7"),
            ("8.0.46", "8.0"),
            ("9.7", "9.7"),
            ("8", "8"),
            ("8.0.mysql_aurora.3.08.0", "8.0"),
        ] {
            assert_eq!(series(version), expected);
        }
    }
}
