//! How a server lets in those that follow it: over its socket on one node, by a secret on several.
//!
//! It does not know how they are made, nor what they do once they are in.
use super::{
    conf::{self, ADMIN, REPLICATOR},
    profile,
    session::{Session, column, quoted_text},
};
use crate::{
    blocking::blocking,
    error::EngineError,
    home::{Home, PeerSecret, Upstream},
};

/// Tries at a copy whose server does not know its new rules yet.
const ADMISSIONS_MAX: u32 = 25;
/// The same for one on another node, whose own node has yet to let this one in.
const ADMISSIONS_AFAR_MAX: u32 = 150;
/// The lock under which followers are let in.
const ADMISSION: i64 = 0x736e_6170_6665_7272;

/// Makes ready to be let in by the server that this one is to follow; answers how often to try. One on
/// another node is told by its own node who follows it.
pub(super) async fn reach(home: &Home, upstream: &Upstream) -> Result<u32, EngineError> {
    if upstream.term.is_none() {
        admit(&upstream.home(home), &home.replication.name).await?;
        return Ok(ADMISSIONS_MAX);
    }
    let (at, address) = (home.clone(), format!("{}:{}", upstream.host, upstream.port));
    blocking(move || match conf::follows(&at)? {
        true => conf::write_secret(&at),
        false => Err(EngineError::BadValue {
            what: "the server to follow",
            value: address,
            why: "was left for good: another one takes the writes, or will",
        }),
    })
    .await?;
    Ok(ADMISSIONS_AFAR_MAX)
}

/// Whether a server said to one that wants to follow it that its rules do not name it yet, or that it has
/// no slot there; on another node also that it has no password yet. Programs tell no error's code, only its
/// words, in the language that they are run in.
pub(super) fn is_not_admitted(home: &Home, upstream: &Upstream, tail: &str) -> bool {
    let slot = format!(
        "replication slot \"{}\" does not exist",
        home.replication.name
    );
    let password = format!("password authentication failed for user \"{REPLICATOR}\"");
    tail.contains("no pg_hba.conf entry for replication connection")
        || tail.contains(&slot)
        || upstream.term.is_some() && tail.contains(&password)
}

/// A statement that gives a server the role of those who follow it, with a password or without.
fn role(password: &str) -> String {
    format!(
        // Of several that begin at once, one after another.
        "SELECT pg_advisory_xact_lock({ADMISSION}); \
         DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{REPLICATOR}') \
         THEN CREATE ROLE {REPLICATOR}; END IF; END $$; \
         ALTER ROLE {REPLICATOR} WITH LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE \
             NOBYPASSRLS PASSWORD {password} CONNECTION LIMIT -1; \
         GRANT CONNECT ON DATABASE {ADMIN} TO {REPLICATOR}; \
         GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), \
             pg_catalog.pg_stat_file(text, boolean), pg_catalog.pg_read_binary_file(text), \
             pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO {REPLICATOR}"
    )
}

/// Gives a server that takes writes the role of those who follow it over the network, unless it has that
/// with this password. A comment tells which password that is, and nothing of it.
pub(super) async fn keep_role(session: &Session, secret: &PeerSecret) -> Result<(), EngineError> {
    let doing = "be followed";
    let row = session
        .row(
            doing,
            "SELECT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_catalog.pg_authid WHERE rolname = $1 \
                 AND rolcanlogin AND rolreplication AND rolpassword IS NOT NULL \
                 AND shobj_description(oid, 'pg_authid') = $2)",
            &[&REPLICATOR, &secret.mark],
        )
        .await?;
    if column(&row, 0)? {
        return Ok(());
    }
    let verifier = quoted_text(&profile::verifier(&secret.password));
    let comment = quoted_text(&secret.mark);
    let statement = format!(
        "{}; COMMENT ON ROLE {REPLICATOR} IS {comment}",
        role(&verifier)
    );
    // Clients' commits may wait for followers that this lets in; it itself waits for none.
    session.run_unseen(doing, &statement).await
}

/// Gives a server what it takes to be followed by one of that name: a role, and a slot that keeps the
/// log from here on.
async fn admit(upstream: &Home, name: &str) -> Result<(), EngineError> {
    let session = Session::open(upstream, ADMIN).await?;
    let doing = "be followed";
    session.run(doing, &role("NULL")).await?;
    let old = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
         WHERE slot_name = {} AND NOT active",
        quoted_text(name)
    );
    session.run(doing, &old).await?;
    session.run(doing, &slot(name)).await?;
    session.close().await;
    Ok(())
}

/// A statement that makes a slot unless it is there.
pub(super) fn slot(name: &str) -> String {
    let name = quoted_text(name);
    format!(
        "SELECT pg_create_physical_replication_slot({name}, true) \
         WHERE NOT pg_is_in_recovery() \
           AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name})"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_may_be_let_in_later_tries_again() {
        let home = |term| {
            let upstream = Upstream {
                socket_dir: "/s".into(),
                port: 5,
                host: "h".to_owned(),
                dir: "/d".into(),
                term,
            };
            let replication = crate::home::Replication {
                name: "member_b".to_owned(),
                ..Default::default()
            };
            let home = Home {
                dir: "/d".into(),
                socket_dir: "/s".into(),
                host: "h".to_owned(),
                port: 5,
                os_uid: None,
                os_uid_shared: false,
                version: "15.18".to_owned(),
                replication,
            };
            (home, upstream)
        };
        let (near, far) = (home(None), home(Some(1)));
        let is = |of: &(Home, Upstream), tail| is_not_admitted(&of.0, &of.1, tail);
        let slot = r#"ERROR:  replication slot "member_b" does not exist"#;
        let rules =
            r#"FATAL:  no pg_hba.conf entry for replication connection from host "[local]""#;
        for tail in [slot, rules] {
            assert!(is(&near, tail) && is(&far, tail), "{tail}");
        }
        let password = r#"FATAL:  password authentication failed for user "rdsrepladmin""#;
        assert!(is(&far, password) && !is(&near, password), "there is none");
        for other in [
            r#"ERROR:  replication slot "member_c" does not exist"#,
            r#"FATAL:  database "rdsadmin" does not exist"#,
            r#"error: directory "/d" does not exist"#,
            r#"FATAL:  password authentication failed for user "captain""#,
        ] {
            assert!(!is(&near, other) && !is(&far, other), "{other}");
        }
    }
}
