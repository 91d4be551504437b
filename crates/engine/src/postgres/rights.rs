//! What the master user is given beside its own attributes: the roles that RDS has, and settings.
//!
//! Everything is given to `rds_superuser`, in the catalogs that all databases share: nothing is left
//! in a database of the user's, so that its dumps stay what they were. It does not know when.
use super::{
    conf::ADMIN,
    session::{Session, quoted_name},
};
use crate::{error::EngineError, home::Home};

/// The role that has what a master user is given.
pub(super) const RDS_SUPERUSER: &str = "rds_superuser";

/// Roles that scripts for RDS name; they have no rights of their own.
const NAMED: [&str; 2] = ["rds_replication", "rds_password"];

/// PostgreSQL's own roles that `rds_superuser` is a member of, where the version has them. None of
/// them reaches beyond the cluster's databases.
const PREDEFINED: [&str; 5] = [
    "pg_monitor",
    "pg_signal_backend",
    "pg_checkpoint",
    "pg_use_reserved_connections",
    "pg_maintain",
];

/// Settings that PostgreSQL keeps for superusers. None of them names a file, a program or a library,
/// or turns off a check of what is stored.
const PARAMETERS: &[&str] = &[
    "session_replication_role",
    "log_statement",
    "log_min_duration_statement",
    "log_min_duration_sample",
    "log_statement_sample_rate",
    "log_transaction_sample_rate",
    "log_duration",
    "log_lock_waits",
    "log_temp_files",
    "track_io_timing",
    "track_wal_io_timing",
    "track_functions",
    "track_activities",
    "track_counts",
    "compute_query_id",
    "temp_file_limit",
    "deadlock_timeout",
    "lo_compat_privileges",
    "pg_stat_statements.track",
    "pg_stat_statements.track_utility",
    "pg_stat_statements.track_planning",
    "auto_explain.log_min_duration",
    "auto_explain.log_analyze",
    "auto_explain.log_buffers",
    "auto_explain.log_format",
    "auto_explain.log_level",
    "auto_explain.log_nested_statements",
    "auto_explain.log_settings",
    "auto_explain.log_timing",
    "auto_explain.log_triggers",
    "auto_explain.log_verbose",
    "auto_explain.log_wal",
    "auto_explain.sample_rate",
];

/// Gives a running cluster's master user its rights. Changes nothing where it has them.
///
/// # Errors
/// What the server answers, such as that there is no such role.
pub(super) async fn ensure(home: &Home, master: &str) -> Result<(), EngineError> {
    // Our sessions never enter a database that a user can change.
    let session = Session::open(home, ADMIN).await?;
    give(&session, master).await?;
    session.close().await;
    Ok(())
}

pub(super) async fn give(session: &Session, master: &str) -> Result<(), EngineError> {
    session
        .run("make the roles that RDS has", &statements())
        .await?;
    let master = quoted_name(master);
    session
        .run(
            "give the master role its rights",
            &format!("GRANT {RDS_SUPERUSER} TO {master} WITH ADMIN OPTION"),
        )
        .await
}

/// All but the master user's own membership. The names are ours: none needs quoting.
fn statements() -> String {
    let list = |names: &[&str]| format!("'{}'", names.join("', '"));
    let made: Vec<&str> = [RDS_SUPERUSER].into_iter().chain(NAMED).collect();
    let memberships: Vec<&str> = PREDEFINED.into_iter().chain(NAMED).collect();
    format!(
        "DO $$ DECLARE name pg_catalog.text; BEGIN \
         FOREACH name IN ARRAY ARRAY[{made}] LOOP \
           IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN \
             EXECUTE format('CREATE ROLE %I', name); \
           END IF; \
         END LOOP; \
         IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{RDS_SUPERUSER}' \
                    AND (rolsuper OR rolreplication OR rolbypassrls)) THEN \
           ALTER ROLE {RDS_SUPERUSER} NOSUPERUSER NOREPLICATION NOBYPASSRLS; \
         END IF; \
         FOR name IN SELECT rolname FROM pg_catalog.pg_roles r WHERE rolname IN ({memberships}) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m \
             WHERE m.roleid = r.oid AND m.admin_option AND m.member = '{RDS_SUPERUSER}'::regrole) LOOP \
           EXECUTE format('GRANT %I TO {RDS_SUPERUSER} WITH ADMIN OPTION', name); \
         END LOOP; \
         FOREACH name IN ARRAY ARRAY[{parameters}] LOOP \
           IF NOT has_parameter_privilege('{RDS_SUPERUSER}', name, 'SET') THEN \
             EXECUTE format('GRANT SET ON PARAMETER %I TO {RDS_SUPERUSER}', name); \
           END IF; \
         END LOOP; END $$",
        made = list(&made),
        memberships = list(&memberships),
        parameters = list(PARAMETERS),
    )
}
