//! What the master user is given: the role that Aurora MySQL has, without what reaches beyond the cluster's
//! databases.
//!
//! Everything is given to `rds_superuser_role`. It does not know when. Source: "Master user account
//! privileges" in the Amazon Aurora User Guide, for Aurora MySQL version 3.
use std::collections::BTreeSet;

use super::{quoted::quoted_text, session::Session};
use crate::{error::EngineError, home::Home};

/// The role that has what a master user is given.
pub(super) const RDS_SUPERUSER: &str = "rds_superuser_role";

/// Privileges that every version has.
#[rustfmt::skip]
const STATIC: &[&str] = &[
    "ALTER", "ALTER ROUTINE", "CREATE", "CREATE ROLE", "CREATE ROUTINE", "CREATE TEMPORARY TABLES", "CREATE USER",
    "CREATE VIEW", "DELETE", "DROP", "DROP ROLE", "EVENT", "EXECUTE", "INDEX", "INSERT", "LOCK TABLES", "PROCESS",
    "REFERENCES", "RELOAD", "REPLICATION CLIENT", "REPLICATION SLAVE", "SELECT", "SHOW DATABASES", "SHOW VIEW",
    "TRIGGER", "UPDATE",
];
/// Privileges of which each version has some.
#[rustfmt::skip]
const DYNAMIC: &[&str] = &[
    "APPLICATION_PASSWORD_ADMIN", "CONNECTION_ADMIN", "FLUSH_OPTIMIZER_COSTS", "FLUSH_STATUS", "FLUSH_TABLES",
    "FLUSH_USER_RESOURCES", "ROLE_ADMIN", "SET_ANY_DEFINER", "SET_USER_ID", "SHOW_ROUTINE", "XA_RECOVER_ADMIN",
];
/// What the role has not in the server's own databases.
const WITHHELD: &str = "ALTER, ALTER ROUTINE, CREATE, CREATE ROUTINE, CREATE TEMPORARY TABLES, CREATE VIEW, DELETE, \
    DROP, EVENT, INDEX, INSERT, LOCK TABLES, REFERENCES, TRIGGER, UPDATE";
const SERVERS_OWN: [&str; 2] = ["mysql", "sys"];

/// Gives a running cluster's master user its rights. Changes nothing where it has them.
///
/// # Errors
/// What the server answers, such as that there is no such user.
pub(super) async fn ensure(home: &Home, master: &str) -> Result<(), EngineError> {
    let mut session = Session::open(home).await?;
    give(&mut session, master).await?;
    session.close().await;
    Ok(())
}

pub(super) async fn give(session: &mut Session, master: &str) -> Result<(), EngineError> {
    let (role, master) = (quoted_text(RDS_SUPERUSER), quoted_text(master));
    let wanted = wanted(session).await?;
    if !has_all(session, &wanted).await? {
        let doing = "make the role that RDS has";
        let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let mut statements = vec![
            format!("CREATE ROLE IF NOT EXISTS {role}@'%'"),
            format!(
                "GRANT {} ON *.* TO {role}@'%' WITH GRANT OPTION",
                names.join(", ")
            ),
        ];
        for database in SERVERS_OWN {
            statements.push(format!(
                "REVOKE {WITHHELD} ON `{database}`.* FROM {role}@'%'"
            ));
        }
        for statement in statements {
            session.run(doing, &statement).await?;
        }
    }
    let doing = "give the master user its rights";
    let edges = format!(
        "SELECT COUNT(*) FROM mysql.role_edges WHERE FROM_USER = {role} AND FROM_HOST = '%' \
         AND TO_USER = {master} AND TO_HOST = '%' AND WITH_ADMIN_OPTION = 'Y'"
    );
    if session.cell(doing, &edges).await? == "0" {
        let grant = format!("GRANT {role}@'%' TO {master}@'%' WITH ADMIN OPTION");
        session.run(doing, &grant).await?;
        let default = format!("SET DEFAULT ROLE {role}@'%' TO {master}@'%'");
        session.run(doing, &default).await?;
    }
    Ok(())
}

/// What this version's role is given.
async fn wanted(session: &mut Session) -> Result<BTreeSet<String>, EngineError> {
    let known = session
        .rows("tell its privileges", "SHOW PRIVILEGES")
        .await?;
    let known: BTreeSet<String> = known
        .into_iter()
        .filter_map(|row| Some(row.into_iter().next()??.to_ascii_uppercase()))
        .collect();
    let given = STATIC.iter().chain(DYNAMIC).map(|name| (*name).to_owned());
    Ok(given.filter(|name| known.contains(name)).collect())
}

/// Whether the role is there and has all of them.
async fn has_all(session: &mut Session, wanted: &BTreeSet<String>) -> Result<bool, EngineError> {
    let grantee = quoted_text(&format!("'{RDS_SUPERUSER}'@'%'"));
    let asked = format!(
        "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES \
         WHERE GRANTEE = {grantee} AND IS_GRANTABLE = 'YES'"
    );
    let rows = session.rows("tell the role's privileges", &asked).await?;
    let has: BTreeSet<String> = rows.into_iter().flatten().flatten().collect();
    Ok(wanted.is_subset(&has))
}
