//! The master user: what it may be called, what it may do, and its password.
//!
//! It does not know passwords, only their verifiers.
use super::{
    conf::ADMIN,
    rights,
    session::{Session, quoted_name, quoted_text},
};
use crate::{error::EngineError, home::Home};

/// Bytes of a name at most, in PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

/// What the role is given at its creation, and again with another password.
pub(super) fn attributes(verifier: &str) -> String {
    format!(
        "LOGIN CREATEDB CREATEROLE NOSUPERUSER NOREPLICATION NOBYPASSRLS PASSWORD {} \
         VALID UNTIL 'infinity'",
        quoted_text(verifier)
    )
}

/// Refuses names that are the engine's own, and what is no verifier.
pub(super) fn check(username: &str, verifier: &str) -> Result<(), EngineError> {
    check_name(
        "the master user's name",
        username,
        &[ADMIN, "public", "none"],
    )?;
    if !is_verifier(verifier) {
        return Err(EngineError::BadValue {
            what: "the master user's verifier",
            value: String::new(),
            why: "is no SCRAM-SHA-256 verifier",
        });
    }
    Ok(())
}

pub(super) fn check_name(
    what: &'static str,
    name: &str,
    taken: &[&str],
) -> Result<(), EngineError> {
    let refuse = |why| {
        Err(EngineError::BadValue {
            what,
            value: name.chars().take(NAME_BYTES_MAX).collect(),
            why,
        })
    };
    if name.is_empty() || NAME_BYTES_MAX < name.len() || name.chars().any(char::is_control) {
        return refuse("does not have 1 to 63 printable characters");
    }
    if taken.contains(&name) || name.starts_with("pg_") {
        return refuse("is reserved");
    }
    Ok(())
}

/// Whether a text is a verifier. Any other text would be taken for a password in clear.
fn is_verifier(text: &str) -> bool {
    let base64 = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c))
    };
    let parts = || {
        let (rounds_and_salt, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (rounds, salt) = rounds_and_salt.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        Some((rounds, salt, stored, server))
    };
    parts().is_some_and(|(rounds, salt, stored, server)| {
        rounds.parse::<u32>().is_ok_and(|rounds| 0 < rounds)
            && base64(salt)
            // 32 bytes each.
            && [stored, server].iter().all(|key| base64(key) && key.len() == 44)
    })
}

/// Gives the master user of a running cluster another password. One that its owner dropped is made
/// again.
pub(super) async fn set_password(
    home: &Home,
    username: &str,
    verifier: &str,
) -> Result<(), EngineError> {
    check(username, verifier)?;
    // Our sessions never enter a database that a user can change.
    let session = Session::open(home, ADMIN).await?;
    let found = session
        .row(
            "look for the master role",
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)",
            &[&username],
        )
        .await?;
    let verb = match found.try_get(0) {
        Ok(true) => "ALTER",
        _ => "CREATE",
    };
    let role = quoted_name(username);
    let statement = format!("{verb} ROLE {role} {}", attributes(verifier));
    session
        .run_unseen("give the master role another password", &statement)
        .await?;
    rights::give(&session, username).await?;
    session.close().await;
    Ok(())
}
