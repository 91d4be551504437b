//! What PostgreSQL is to those that serve it.
//!
//! Sources: API_CreateDBCluster and API_CreateDBInstance (RDS for PostgreSQL), "Quotas and
//! constraints for Amazon Aurora", and appendix C of PostgreSQL's manual for its reserved words.
use super::{
    client::{client, client_password},
    document::database_names,
    dump::names::part_of,
    page::PAGE_BYTES,
};
use crate::profile::{NameRules, Profile};

/// PostgreSQL's names have at most so many bytes; RDS takes that many for this engine.
const NAME_BYTES_MAX: usize = 63;

/// What PostgreSQL is.
pub(crate) static PROFILE: Profile = Profile {
    title: "PostgreSQL",
    names: &["aurora-postgresql", "postgres"],
    series,
    part_of,
    databases_in: database_names,
    default_port: 5_432,
    license_model: "postgresql-license",
    page_bytes: PAGE_BYTES,
    program: "postgres",
    log_file: "postgres.log",
    log_types: &["postgresql", "instance", "iam-db-auth-error", "upgrade"],
    user_names: NameRules {
        bytes_max: NAME_BYTES_MAX,
        reserved: &[RESERVED, NO_ROLES],
        reserved_prefix: Some("pg_"),
    },
    database_names: NameRules {
        bytes_max: NAME_BYTES_MAX,
        reserved: &[RESERVED, TEMPLATES],
        reserved_prefix: None,
    },
    password_chars: 8..=41,
    wanted: "PostgreSQL of version 15 or later",
    install: "apt-get install postgresql-15",
    client,
    client_password,
    replicates: true,
    waits_for_followers: true,
};

/// Words that name neither a user nor a database: those that PostgreSQL reserves, those that
/// Amazon keeps for itself, and `admin`, which it refuses for this engine.
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "admin", "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization",
    "binary", "both", "case", "cast", "check", "collate", "collation", "column", "concurrently", "constraint",
    "create", "cross", "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end", "except",
    "false", "fetch", "for", "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike", "in",
    "initially", "inner", "intersect", "into", "is", "isnull", "join", "lateral", "leading", "left", "like", "limit",
    "localtime", "localtimestamp", "natural", "not", "notnull", "null", "offset", "on", "only", "or", "order",
    "outer", "overlaps", "placing", "primary", "rdsadmin", "references", "returning", "right", "select",
    "session_user", "similar", "some", "symmetric", "table", "tablesample", "then", "to", "trailing", "true", "union",
    "unique", "user", "using", "variadic", "verbose", "when", "where", "window", "with",
];
/// Names that PostgreSQL gives to no role.
const NO_ROLES: &[&str] = &["none", "public"];
/// Databases that every cluster has and that are nobody's.
const TEMPLATES: &[&str] = &["template0", "template1"];

/// The major version, which reads the files of all its minor ones.
pub(super) fn series(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

/// The SCRAM-SHA-256 verifier of a password, with a fresh salt.
pub(super) fn verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}
