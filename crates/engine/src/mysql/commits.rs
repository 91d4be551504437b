//! Commits that wait for a reader: whether those of a server do, and what becomes of them when it ends.
//!
//! It does not know with which settings a server begins.
use std::{io, time::Duration};

use super::{
    process::SERVER,
    replicating::has_logged,
    semi_sync::{ENABLED, not_installed},
    session::{Session, code_of},
};
use crate::{error::EngineError, home::Home};

/// "Unknown system variable": the module is not loaded.
const UNKNOWN_VARIABLE: u16 = 1_193;
/// Seconds that commits which are under way may take before a server is ended.
const SETTLE_SECS: u8 = 5;

/// Has the commits of the session's server wait from here on, or not.
///
/// # Errors
/// When they are to wait and cannot; what the server answers.
pub(super) async fn keep(session: &mut Session, waits: bool) -> Result<(), EngineError> {
    let doing = "have commits wait for a reader";
    match enabled(session).await? {
        None if waits => Err(not_installed()),
        Some(now) if now != waits => {
            let value = if waits { "ON" } else { "OFF" };
            session
                .run(doing, &format!("SET GLOBAL {ENABLED} = {value}"))
                .await
        }
        _ => Ok(()),
    }
}

/// Whether commits wait; none where the server cannot have them do so.
async fn enabled(session: &mut Session) -> Result<Option<bool>, EngineError> {
    let asked = format!("SELECT @@GLOBAL.{ENABLED}");
    match session.cell("say whether commits wait", &asked).await {
        Ok(value) => Ok(Some(value == "1")),
        Err(error) if code_of(&error) == Some(UNKNOWN_VARIABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ends a server as [`crate::Engine::stop`] does. Told to stop while no reader is connected, it would tell clients
/// that their commits are done which wait for one: it is then ended at once.
///
/// # Errors
/// As [`crate::Engine::stop`].
pub(super) async fn end(home: &Home, patience: Duration) -> Result<(), EngineError> {
    SERVER.end(home, patience_of(home, patience).await?).await
}

/// How long a server may take to stop in order.
///
/// # Errors
/// When its folder cannot be read.
pub(super) async fn patience_of(home: &Home, patience: Duration) -> Result<Duration, EngineError> {
    if patience.is_zero() || !is_logging(home)? {
        return Ok(patience);
    }
    let is_settled = match Session::open(home).await {
        Ok(session) => settle(session).await,
        // Nobody is told anything by one that does not answer, as far as is known.
        Err(_) => Ok(home.replication.synchronous.is_empty()),
    };
    match is_settled {
        Ok(true) => Ok(patience),
        Ok(false) => {
            tracing::warn!(home = %home.dir.display(), "commits wait for a reader, so the server is ended at once");
            Ok(Duration::ZERO)
        }
        Err(error) => {
            tracing::warn!(home = %home.dir.display(), %error, "a server does not say whether commits wait, so it is ended at once");
            Ok(Duration::ZERO)
        }
    }
}

/// Whether there is a server that logs; none is where there is no folder.
fn is_logging(home: &Home) -> Result<bool, EngineError> {
    match has_logged(home) {
        Err(EngineError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(false)
        }
        told => told,
    }
}

/// Lets commits come to their end, and none begin. Answers whether the server may be told to stop.
async fn settle(mut session: Session) -> Result<bool, EngineError> {
    if enabled(&mut session).await? != Some(true) {
        session.close().await;
        return Ok(true);
    }
    let doing = "let commits come to their end";
    let bound = format!("SET SESSION lock_wait_timeout = {SETTLE_SECS}");
    session.run(doing, &bound).await?;
    let shut = session.run(doing, "SET GLOBAL super_read_only = ON").await;
    let is_settled = match shut {
        Ok(()) => true,
        // A statement that takes long, or a commit that waits.
        Err(_) => {
            let clients = "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_source_clients'";
            let shown = session.rows(doing, clients).await?;
            let count = shown
                .into_iter()
                .next()
                .and_then(|row| row.into_iter().nth(1)?);
            count.is_some_and(|count| count != "0")
        }
    };
    session.close().await;
    Ok(is_settled)
}
