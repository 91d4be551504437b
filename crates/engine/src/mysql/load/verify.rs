//! Whether a recovered server is the cluster that the dump describes.
//!
//! It does not know files, but for the server's own log.
use super::super::{PROFILE, document::Places, options, own_accounts, session::Session};
use crate::{EngineError, Home, blocking::blocking, hosting::server_log};

/// Bytes of the server's log that are read at most: it has a line for each thing that recovery says.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// What the server writes for a table whose file is not there, and goes on.
const MISSING: &str = "is missing!";
/// What may be in the tables by which a server loads programs.
const COMPONENTS: &str = "'file://component_classic_hashing'";
/// The server's own accounts, and ours.
const OWN_ACCOUNTS: &str = "'rdsadmin@localhost', 'mysql.session@localhost', 'mysql.sys@localhost', \
                            'mysql.infoschema@localhost'";

/// Asks the recovered server, and lets it serve.
pub(super) async fn serve(home: &Home, places: Places) -> Result<(), EngineError> {
    let mut session = checked(home, places).await?;
    own_accounts::forget_followers(&mut session, &[]).await?;
    for sql in [
        // The snapshot may be one of a server that followed another.
        "RESET REPLICA ALL".to_owned(),
        format!(
            "SET GLOBAL innodb_buffer_pool_size = {}",
            options::POOL_BYTES
        ),
        "SET GLOBAL log_error_verbosity = 2".to_owned(),
        "SET GLOBAL event_scheduler = ON".to_owned(),
        "SET GLOBAL offline_mode = OFF".to_owned(),
    ] {
        session.run("take clients", &sql).await?;
    }
    session.close().await;
    Ok(())
}

/// A session of the recovered server, which is asked whether it is what the dump describes.
async fn checked(home: &Home, places: Places) -> Result<Session, EngineError> {
    let mut session = Session::open(home).await?;
    let faults = faults(&mut session, home, places).await?;
    if let Some(why) = faults {
        tracing::warn!(home = %home.dir.display(), log = server_log::tail(home, &PROFILE), why, "a load failed");
        return Err(EngineError::bad_dump(why));
    }
    Ok(session)
}

/// Asks the recovered server, which nobody is to use yet.
///
/// # Errors
/// [`EngineError::BadDump`]; what the server answers.
pub(in crate::mysql) async fn check(home: &Home, places: Places) -> Result<(), EngineError> {
    checked(home, places).await?.close().await;
    Ok(())
}

/// The first thing that is wrong.
async fn faults(
    session: &mut Session,
    home: &Home,
    places: Places,
) -> Result<Option<&'static str>, EngineError> {
    let doing = "describe itself";
    let show = "SHOW GLOBAL STATUS LIKE 'Innodb_redo_log_current_lsn'";
    let rows = session.rows(doing, show).await?;
    let lsn = rows
        .first()
        .and_then(|row| row.get(1)?.as_ref()?.parse::<u64>().ok());
    if lsn.is_none_or(|lsn| lsn < places.end) {
        return Ok(Some("the server did not recover all of its redo log"));
    }
    let at = home.clone();
    let is_missing = move || server_log::has_said(&at, &PROFILE, MISSING, LOG_BYTES_MAX);
    if blocking(is_missing).await? {
        return Ok(Some("a table's file is not there"));
    }
    let checks = [
        (
            "SELECT COUNT(*) FROM mysql.plugin".to_owned(),
            "it has a plugin",
        ),
        (
            "SELECT COUNT(*) FROM mysql.func".to_owned(),
            "it has a function of a library",
        ),
        (
            format!(
                "SELECT COUNT(*) FROM mysql.component WHERE component_urn NOT IN ({COMPONENTS})"
            ),
            "it has a component that no cluster has",
        ),
        (
            format!(
                "SELECT COUNT(*) FROM mysql.user WHERE 'Y' IN (Super_priv, File_priv, Shutdown_priv) \
                 AND CONCAT(User, '@', Host) NOT IN ({OWN_ACCOUNTS})"
            ),
            "it has an account with rights that no user of a cluster has",
        ),
    ];
    for (sql, why) in checks {
        if session.cell(doing, &sql).await? != "0" {
            return Ok(Some(why));
        }
    }
    Ok(None)
}
