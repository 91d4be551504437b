//! What a dump of a server that follows has to wait for, so that nothing is missing in it that the
//! writer had told a client before the dump began.
//!
//! It does not know how files are read.
//!
//! The log of a dump has one timeline in the names of its files, so the follower must have been on it
//! since the checkpoint that the dump begins with, and stay on it.
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::types::PgLsn;

use super::super::{
    conf::ADMIN,
    session::{Session, column},
};
use crate::{EngineError, Home, home::Upstream};

/// How long the follower may take to have what the writer has.
const CATCH_UP_WAIT: Duration = Duration::from_secs(10);
const CATCH_UP_POLL: Duration = Duration::from_millis(20);

/// Waits until the follower has applied all that its writer has on the disk now.
///
/// # Errors
/// [`EngineError::Behind`]; what either server answers.
pub(super) async fn catch_up(
    home: &Home,
    upstream: &Upstream,
    session: &Session,
) -> Result<(), EngineError> {
    let doing = "say how far it is";
    if upstream.term.is_some() {
        return Err(EngineError::Behind);
    }
    let writer = Session::open(&upstream.home(home), ADMIN).await?;
    let row = writer
        .row(doing, "SELECT pg_current_wal_flush_lsn()", &[])
        .await?;
    let wanted: PgLsn = column(&row, 0)?;
    writer.close().await;
    let deadline = Instant::now() + CATCH_UP_WAIT;
    loop {
        let sql = "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= $1";
        let row = session.row(doing, sql, &[&wanted]).await?;
        if column::<Option<bool>>(&row, 0)? == Some(true) {
            return Ok(());
        }
        if deadline < Instant::now() {
            return Err(EngineError::Behind);
        }
        sleep(CATCH_UP_POLL).await;
    }
}

/// Makes sure that the follower hears of its writer, on the timeline of its last checkpoint.
///
/// # Errors
/// [`EngineError::Behind`]; what the server answers.
pub(super) async fn check(session: &Session) -> Result<(), EngineError> {
    let row = session
        .row(
            "say whom it follows",
            "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver, pg_control_checkpoint() \
                             WHERE status = 'streaming' AND received_tli = timeline_id)",
            &[],
        )
        .await?;
    match column(&row, 0)? {
        true => Ok(()),
        false => Err(EngineError::Behind),
    }
}
