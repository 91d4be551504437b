//! Follows the server's redo log while a dump's files are read, so that the server need not keep it.
//!
//! It does not know those files.
use std::time::Duration;

use model::Told;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    super::redo::{BLOCK_BYTES, block_of, blocks_end},
    session::DumpSession,
    spool::Spool,
};
use crate::{EngineError, blocking::blocking};

/// How often it looks; often enough for the session never to be silent for long.
const POLL: Duration = Duration::from_millis(50);
/// Bytes after which the server is told that it need not keep them.
const ADVANCE_BYTES: u64 = 1 << 20;
/// How long the server may take to write its log to the disk, which takes milliseconds.
const FLUSH_WAIT: Duration = Duration::from_secs(60);

/// A redo log that is being followed; dropped before its end, it sets the server free.
#[derive(Debug)]
pub(super) struct Tail {
    task: JoinHandle<Result<Tailed, EngineError>>,
    finish: Option<oneshot::Sender<()>>,
}

/// A redo log that was followed to the end.
#[derive(Debug)]
pub(super) struct Tailed {
    pub(super) spool: Spool,
    /// How far the log was when the last file had been read.
    pub(super) end: u64,
    /// The transactions that the server had executed.
    pub(super) gtid_executed: String,
}

impl Tail {
    /// Begins to follow. Changes of tables are shut out for no longer than `lock_max`.
    pub(super) fn begin(
        runtime: &Handle,
        session: DumpSession,
        spool: Spool,
        lock_max: Duration,
    ) -> Self {
        let (finish, finished) = oneshot::channel();
        Self {
            task: runtime.spawn(follow(session, spool, lock_max, finished)),
            finish: Some(finish),
        }
    }

    /// Whether it has ended by itself, which only an error makes it do: see [`Tail::finish`].
    pub(super) fn has_failed(&self) -> bool {
        self.task.is_finished()
    }

    /// Follows up to where the log is now, and lets go of the server.
    pub(super) async fn finish(&mut self) -> Result<Tailed, EngineError> {
        if let Some(finish) = self.finish.take() {
            // It may have failed, which it then says.
            let _ = finish.send(());
        }
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(EngineError::StopRequested),
            },
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut session: DumpSession,
    mut spool: Spool,
    lock_max: Duration,
    mut finished: oneshot::Receiver<()>,
) -> Result<Tailed, EngineError> {
    loop {
        let flushed = session.flushed().await?;
        // The last block is not whole yet.
        spool = catch_up(&mut session, spool, block_of(flushed), flushed).await?;
        if lock_max < session.locked_for() {
            return Err(EngineError::Disturbed {
                why: format!(
                    "changes of tables and accounts would have waited for more than {} s",
                    lock_max.as_secs()
                ),
                told: Told::new(
                    "statements that change tables would have had to wait for too long",
                ),
            });
        }
        match timeout(POLL, &mut finished).await {
            Ok(Ok(())) => break,
            Ok(Err(_)) => return Err(EngineError::StopRequested),
            Err(_) => {}
        }
    }
    let end = session.current().await?;
    flush_to(&mut session, end).await?;
    let spool = catch_up(&mut session, spool, blocks_end(end), end).await?;
    let gtid_executed = session.end().await?;
    Ok(Tailed {
        spool,
        end,
        gtid_executed,
    })
}

/// Copies the log up to a block's end, and tells the server now and then.
async fn catch_up(
    session: &mut DumpSession,
    mut spool: Spool,
    to: u64,
    end: u64,
) -> Result<Spool, EngineError> {
    while spool.at() < to {
        let part_end = to.min(spool.at() + ADVANCE_BYTES);
        spool = blocking(move || {
            spool.copy_to(part_end, end)?;
            Ok(spool)
        })
        .await?;
        // A place within the last block that was copied.
        let within = spool.at() - BLOCK_BYTES as u64 + 16;
        if session.advanced() + ADVANCE_BYTES <= within {
            session.advance(within).await?;
        }
    }
    Ok(spool)
}

/// Waits until the log is on the disk up to this place: one flush may not be enough.
async fn flush_to(session: &mut DumpSession, end: u64) -> Result<(), EngineError> {
    let deadline = Instant::now() + FLUSH_WAIT;
    loop {
        session.flush().await?;
        if end <= session.flushed().await? {
            return Ok(());
        }
        if deadline < Instant::now() {
            return Err(EngineError::SqlTimeout {
                doing: "write its redo log",
                secs: FLUSH_WAIT.as_secs(),
            });
        }
        sleep(Duration::from_millis(10)).await;
    }
}
