//! The accounts of a cluster's servers that follow another one: one for each, by whose name the writer knows it.
//!
//! It does not know how they follow. A secret is drawn for each time that one begins to: the writer keeps its
//! verifier, the follower's memory the secret, and no file has it.
use aws_lc_rs::digest::{SHA256, digest};
use model::{Entropy, SystemEntropy};
use zeroize::Zeroizing;

use super::{quoted::quoted_text, session::Session, verifier::verifier};
use crate::error::EngineError;

/// What their names begin with.
const PREFIX: &str = "rdsrepladmin_";
/// What the names of a cluster's servers begin with.
const SERVERS: &str = "member_";
/// Bytes of a secret: a follower takes 32 letters at most.
const SECRET_BYTES: usize = 16;
/// Seconds that these statements wait for a dump, which shuts out changes of accounts. They are tried again.
const LOCK_WAIT_SECS: u8 = 1;

/// What a server is known by that follows another one.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) secret: Zeroizing<String>,
}

/// The account's name of a server of that name.
fn name_of(server: &str) -> String {
    format!("{PREFIX}{}", server.strip_prefix(SERVERS).unwrap_or(server))
}

/// Changes of these accounts are each server's own, and wait for nobody for long.
async fn begin(session: &mut Session, doing: &'static str) -> Result<(), EngineError> {
    let bounds = format!("SET SESSION sql_log_bin = 0, lock_wait_timeout = {LOCK_WAIT_SECS}");
    session.run(doing, &bounds).await
}

/// Lets a server of that name follow the session's, with a new secret.
///
/// # Errors
/// What the server answers; while a dump is read, that it waited for too long.
pub(super) async fn admit(session: &mut Session, server: &str) -> Result<Account, EngineError> {
    let doing = "be followed";
    begin(session, doing).await?;
    let drawn = [SystemEntropy.uuid(), SystemEntropy.uuid()];
    let drawn = digest(&SHA256, drawn.map(|uuid| *uuid.as_bytes()).as_flattened());
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02X}")).collect() };
    let secret = Zeroizing::new(hex(&drawn.as_ref()[..SECRET_BYTES]));
    let name = name_of(server);
    let user = format!("{}@'%'", quoted_text(&name));
    let way = format!(
        "IDENTIFIED WITH caching_sha2_password AS 0x{}",
        hex(verifier(&secret).as_bytes())
    );
    for statement in [
        // Whatever the master user made of that name, with rights and passwords of its choice, goes.
        format!("DROP USER IF EXISTS {user}"),
        format!("CREATE USER {user} {way} PASSWORD EXPIRE NEVER ACCOUNT UNLOCK"),
        // The second one keeps the master user's hands off it.
        format!("GRANT REPLICATION SLAVE, SYSTEM_USER ON *.* TO {user}"),
    ] {
        session.run(doing, &statement).await?;
    }
    Ok(Account { name, secret })
}

/// Forgets the accounts of all servers but these.
///
/// # Errors
/// As [`admit`].
pub(super) async fn forget_followers(
    session: &mut Session,
    servers: &[String],
) -> Result<(), EngineError> {
    let doing = "forget those who do not follow it";
    let kept: Vec<String> = servers.iter().map(|server| name_of(server)).collect();
    let all = format!(
        "SELECT User FROM mysql.user WHERE Host = '%' AND LEFT(User, {}) = '{PREFIX}'",
        PREFIX.len()
    );
    let names = session.rows(doing, &all).await?.into_iter().flatten();
    let gone: Vec<String> = names
        .flatten()
        .filter(|name| !kept.contains(name))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    begin(session, doing).await?;
    for name in gone {
        let drop = format!("DROP USER IF EXISTS {}@'%'", quoted_text(&name));
        session.run(doing, &drop).await?;
    }
    Ok(())
}
