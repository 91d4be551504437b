//! The master user: what it may be called, and its password.
//!
//! It does not know passwords, only their verifiers.
use super::{options::ADMIN, quoted::quoted_text, rights, session::Session, verifier::is_verifier};
use crate::{error::EngineError, home::Home};

/// Characters of a user's name at most, in MySQL.
const USER_CHARS_MAX: usize = 32;
/// Users that the server makes itself.
const TAKEN: [&str; 5] = [
    "mysql.infoschema",
    "mysql.session",
    "mysql.sys",
    "root",
    rights::RDS_SUPERUSER,
];

/// Refuses names that are the engine's own, and what is no verifier.
///
/// # Errors
/// [`EngineError::BadValue`].
pub(super) fn check(username: &str, verifier: &str) -> Result<(), EngineError> {
    let refuse = |what, value: &str, why| {
        Err(EngineError::BadValue {
            what,
            value: value.chars().take(USER_CHARS_MAX).collect(),
            why,
        })
    };
    let name = "the master user's name";
    let chars = username.chars().count();
    if !(1..=USER_CHARS_MAX).contains(&chars) || username.chars().any(char::is_control) {
        return refuse(name, username, "does not have 1 to 32 printable characters");
    }
    if username == ADMIN || TAKEN.contains(&username) {
        return refuse(name, username, "is reserved");
    }
    if !is_verifier(verifier) {
        return refuse(
            "the master user's verifier",
            "",
            "is no verifier of caching_sha2_password",
        );
    }
    Ok(())
}

/// Makes the master user where it is not there, and gives it a password and its rights.
///
/// # Errors
/// What the server answers.
pub(super) async fn give(
    session: &mut Session,
    username: &str,
    verifier: &str,
) -> Result<(), EngineError> {
    let user = format!("{}@'%'", quoted_text(username));
    let hex: String = verifier.bytes().map(|byte| format!("{byte:02X}")).collect();
    let way = format!("IDENTIFIED WITH caching_sha2_password AS 0x{hex}");
    let doing = "give the master user its password";
    for statement in [
        format!("CREATE USER IF NOT EXISTS {user} {way}"),
        format!("ALTER USER {user} {way} PASSWORD EXPIRE NEVER ACCOUNT UNLOCK"),
    ] {
        session.run(doing, &statement).await?;
    }
    rights::give(session, username).await
}

/// Gives the master user of a running cluster another password. One that its owner dropped is made
/// again.
///
/// # Errors
/// A name or a verifier that is none; what the server answers.
pub(super) async fn set_password(
    home: &Home,
    username: &str,
    verifier: &str,
) -> Result<(), EngineError> {
    check(username, verifier)?;
    let mut session = Session::open(home).await?;
    give(&mut session, username, verifier).await?;
    session.close().await;
    Ok(())
}
