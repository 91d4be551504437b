//! The session that a dump holds: what it asks the server for, statement by statement.
//!
//! It does not know files. Whoever drops it sets the server free: the lock and the consumer of the redo log
//! are the session's.
use std::time::{Duration, Instant};

use model::Told;

use super::super::session::{self, Session};
use crate::EngineError;

/// A session that says nothing for so long is ended by the server, so that one whose process hangs does not
/// hold up those who write.
const SILENCE_SECS: u64 = 8;
/// How long statements that change tables or accounts may hold up the beginning of a dump: new ones wait
/// behind it.
const LOCK_WAIT_SECS: u64 = 30;
const LOCK_WAIT: Duration = Duration::from_secs(LOCK_WAIT_SECS + 10);
/// How long the server may take to write all that it has in memory.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(15 * 60);
/// How much redo log is next to nothing, in how long a time.
const QUIET_BYTES: u64 = 4 << 10;
const QUIET_TIME: Duration = Duration::from_millis(50);
/// What the server answers when a lock was waited for too long.
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// What it answers when it shuts down, or has ended the session: on its own, or for somebody who may.
const SESSION_ENDS: [u16; 3] = [1053, 3169, 4031];

/// Numbers that the server tells of its redo log.
const ENABLED: &str = "Innodb_redo_log_enabled";
const CHECKPOINT: &str = "Innodb_redo_log_checkpoint_lsn";
const CURRENT: &str = "Innodb_redo_log_current_lsn";
const FLUSHED: &str = "Innodb_redo_log_flushed_to_disk_lsn";

/// The session.
#[derive(Debug)]
pub(super) struct DumpSession {
    session: Session,
    /// Where recovery of the dump begins.
    checkpoint: u64,
    /// Up to where the server may forget its log.
    advanced: u64,
    locked: Instant,
    executed: String,
    version: String,
}

impl DumpSession {
    /// Shuts out what changes tables and accounts, and has the server keep its redo log from here on.
    pub(super) async fn begin(mut session: Session) -> Result<Self, EngineError> {
        let bounds = format!(
            "SET SESSION wait_timeout = {SILENCE_SECS}, lock_wait_timeout = {LOCK_WAIT_SECS}"
        );
        session.run("bound a session", &bounds).await?;
        let version = session.cell("tell its version", "SELECT VERSION()").await?;
        need_redo(&mut session).await?;
        let locked = session
            .run_within(
                LOCK_WAIT,
                "lock out changes of tables",
                "LOCK INSTANCE FOR BACKUP",
            )
            .await;
        locked.map_err(|error| match session::code_of(&error) {
            Some(LOCK_WAIT_TIMEOUT) => EngineError::Disturbed {
                why: format!(
                    "statements that change tables or accounts ran for more than {LOCK_WAIT_SECS} s"
                ),
                told: Told::new(
                    "statements that change tables or accounts ran when it was to begin",
                ),
            },
            _ => lost(error),
        })?;
        let locked = Instant::now();
        // All of them are in what is read from here on. The tables do not say so of those that changed only what is
        // not InnoDB's.
        let executed = "SELECT @@GLOBAL.gtid_executed";
        let executed = ask(&mut session, "tell its transactions", executed).await?;
        if is_quiet(&mut session).await? {
            // The dump then has next to no log. Under writers this takes long, and the log is no more than the
            // server's capacity for it.
            let sharp = "SELECT innodb_redo_log_sharp_checkpoint()";
            session
                .rows_within(CHECKPOINT_WAIT, "write a checkpoint", sharp)
                .await
                .map_err(lost)?;
        }
        let register = "SELECT innodb_redo_log_consumer_register()";
        if ask(&mut session, "keep its redo log", register).await? != "0" {
            return Err(EngineError::Sql {
                doing: "keep its redo log",
                kind: model::ErrorKind::Wait,
                source: "another program reads it already".into(),
            });
        }
        // Before anything is read: what is written from here on is in the log.
        let checkpoint = number(&mut session, CHECKPOINT).await?;
        Ok(Self {
            session,
            checkpoint,
            advanced: checkpoint,
            locked,
            executed: executed.replace('\n', ""),
            version,
        })
    }

    /// Where recovery of the dump begins.
    pub(super) fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// The server's version, without what its distribution adds to it.
    pub(super) fn version(&self) -> &str {
        let is_part = |c: char| c.is_ascii_digit() || c == '.';
        let end = self.version.find(|c| !is_part(c));
        &self.version[..end.unwrap_or(self.version.len())]
    }

    /// For how long changes of tables have been shut out.
    pub(super) fn locked_for(&self) -> Duration {
        self.locked.elapsed()
    }

    /// How much of the log is on the disk.
    pub(super) async fn flushed(&mut self) -> Result<u64, EngineError> {
        number(&mut self.session, FLUSHED).await
    }

    /// How far the log is.
    pub(super) async fn current(&mut self) -> Result<u64, EngineError> {
        number(&mut self.session, CURRENT).await
    }

    /// Has the server write its log to the disk.
    pub(super) async fn flush(&mut self) -> Result<(), EngineError> {
        let flush = "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS";
        self.session
            .run("write its redo log", flush)
            .await
            .map_err(lost)
    }

    /// Up to where the server may forget its log.
    pub(super) fn advanced(&self) -> u64 {
        self.advanced
    }

    /// Lets the server forget its log up to this place, which must be within a block and behind the last one.
    pub(super) async fn advance(&mut self, lsn: u64) -> Result<(), EngineError> {
        let advance = format!("SELECT innodb_redo_log_consumer_advance({lsn})");
        match ask(&mut self.session, "move on in its redo log", &advance)
            .await?
            .as_str()
        {
            "0" => {
                self.advanced = lsn;
                Ok(())
            }
            // It knows of no consumer, or of one that is elsewhere: the log may have gone.
            _ => Err(EngineError::SessionLost { source: None }),
        }
    }

    /// Makes sure that the log was kept until now, and lets go of the server. Answers the transactions that it
    /// had executed when changes of tables were shut out, where it numbers them.
    pub(super) async fn end(mut self) -> Result<String, EngineError> {
        need_redo(&mut self.session).await?;
        let unregister = "SELECT innodb_redo_log_consumer_unregister()";
        if ask(&mut self.session, "forget its redo log", unregister).await? != "0" {
            return Err(EngineError::SessionLost { source: None });
        }
        self.session
            .run("allow changes of tables", "UNLOCK INSTANCE")
            .await
            .map_err(lost)?;
        self.session.close().await;
        Ok(self.executed)
    }
}

/// Refuses a server that keeps no redo log: its files are no state.
async fn need_redo(session: &mut Session) -> Result<(), EngineError> {
    match status(session, ENABLED).await?.as_str() {
        "ON" => Ok(()),
        _ => Err(EngineError::Unexpected {
            file: super::super::redo::FOLDER.to_owned(),
            why: "is switched off: ALTER INSTANCE ENABLE INNODB REDO_LOG switches it on",
        }),
    }
}

/// Whether next to nothing is written at the moment.
async fn is_quiet(session: &mut Session) -> Result<bool, EngineError> {
    let before = number(session, CURRENT).await?;
    tokio::time::sleep(QUIET_TIME).await;
    let written = number(session, CURRENT).await?.saturating_sub(before);
    Ok(written <= QUIET_BYTES)
}

async fn number(session: &mut Session, name: &str) -> Result<u64, EngineError> {
    let text = status(session, name).await?;
    text.parse().map_err(|_| EngineError::Sql {
        doing: "tell how far its redo log is",
        kind: model::ErrorKind::Report,
        source: format!("{name} is {text:?}").into(),
    })
}

async fn status(session: &mut Session, name: &str) -> Result<String, EngineError> {
    let doing = "tell of its redo log";
    let show = format!("SHOW GLOBAL STATUS LIKE '{name}'");
    let rows = session.rows(doing, &show).await.map_err(lost)?;
    let value = rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().nth(1)?);
    value.ok_or_else(|| EngineError::Sql {
        doing,
        kind: model::ErrorKind::Refuse,
        source: format!("it has no {name}").into(),
    })
}

async fn ask(session: &mut Session, doing: &'static str, sql: &str) -> Result<String, EngineError> {
    session.cell(doing, sql).await.map_err(lost)
}

/// Tells a lost session from a refusal.
fn lost(error: EngineError) -> EngineError {
    let is_end = |code: u16| SESSION_ENDS.contains(&code);
    match error {
        // Without an answer of the server's, the connection failed.
        EngineError::Sql { .. } if session::code_of(&error).is_none_or(is_end) => {
            let EngineError::Sql { source, .. } = error else {
                unreachable!("matched above")
            };
            EngineError::SessionLost {
                source: Some(source),
            }
        }
        other => other,
    }
}
