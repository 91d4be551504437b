//! The thread that writes: it gathers what waits, runs it in one transaction, commits once.
//!
//! It does not know what the requests do.
//!
//! A savepoint costs a copy of every page that changes after it, and nearly all requests are
//! kept. So a batch runs without any; when one request in it is to be undone, all of it is
//! undone, and runs again with a savepoint for each.
//!
//! Invariant: a request is answered only after the COMMIT that holds it has returned. A good
//! answer before it could be lost with the power; a refusal before it could rest on another
//! request's rows that are then lost.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use model::Clock;
use rusqlite::Connection;

use super::{
    connection::LOG_PAGES,
    tx::{SqliteTx, failed},
};
use crate::{
    error::{CatalogError, ErrorKind},
    queue::{Request, RequestQueue},
    transaction::{Verdict, Work},
};

/// Requests that share one commit at most; bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// The writing thread's parts.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) queue: RequestQueue,
    pub(super) commits: Arc<AtomicU64>,
}

/// What one request's function did.
struct Ran {
    changed: bool,
    panicked: bool,
    /// What it changed has to be undone, and there is no savepoint.
    spoils: bool,
}

/// Whether each request of a batch can be undone alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoints {
    None,
    Each,
}

/// What a batch came to.
#[derive(Default)]
struct Served {
    changed: bool,
    /// For each request that ran, whether its function panicked.
    panicked: Vec<bool>,
}

impl Writer {
    /// Serves until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while let Some(first) = self.queue.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH_MAX
                && let Ok(next) = self.queue.try_recv()
            {
                batch.push(next);
            }
            // Where nobody waits for the answer any more, the caller gave up before it began.
            batch.retain(|request| !request.answer.is_closed());
            if !batch.is_empty() {
                self.serve(&mut batch);
                self.shorten_log();
            }
        }
    }

    /// Runs a batch in one transaction and answers each request.
    fn serve(&self, batch: &mut Vec<Request>) {
        let outcome = match self.transaction(batch, Savepoints::None) {
            Ok(None) => self
                .transaction(batch, Savepoints::Each)
                .map(Option::unwrap_or_default),
            other => other.map(Option::unwrap_or_default),
        };
        let mut panicked = outcome
            .as_ref()
            .map_or_else(|_| Vec::new(), |served| served.panicked.clone())
            .into_iter();
        for request in batch.drain(..) {
            let answer = match (&outcome, panicked.next()) {
                (Ok(_), Some(true)) => Err(CatalogError::Panicked),
                (Ok(_), _) => Ok(()),
                (Err(error), _) => Err(error.clone()),
            };
            // Whoever asked may have gone since; what was kept stays kept.
            request.answer.send(answer).ok();
        }
    }

    /// Runs a batch and commits it; none when it was undone because a request of it needs a
    /// savepoint.
    fn transaction(
        &self,
        batch: &[Request],
        savepoints: Savepoints,
    ) -> Result<Option<Served>, CatalogError> {
        if !self.connection.is_autocommit() {
            // An earlier rollback failed; nothing can be begun before it has worked.
            self.statement("ROLLBACK", "rolling back")?;
        }
        self.statement("BEGIN IMMEDIATE", "beginning a transaction")?;
        let result = self.run_all(batch, savepoints).and_then(|served| {
            let Some(served) = served else {
                self.statement("ROLLBACK", "rolling back")?;
                return Ok(None);
            };
            self.statement("COMMIT", "committing")?;
            self.commits
                .fetch_add(u64::from(served.changed), Ordering::Relaxed);
            Ok(Some(served))
        });
        if result.is_err()
            && !self.connection.is_autocommit()
            && let Err(error) = self.statement("ROLLBACK", "rolling back")
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the catalog cannot roll back"
            );
        }
        result
    }

    /// Runs each request; none as soon as one would have to be undone and has no savepoint.
    fn run_all(
        &self,
        batch: &[Request],
        savepoints: Savepoints,
    ) -> Result<Option<Served>, CatalogError> {
        let mut served = Served::default();
        for request in batch {
            let ran = self.run_one(&*request.work, savepoints)?;
            if ran.spoils {
                return Ok(None);
            }
            served.changed |= ran.changed;
            served.panicked.push(ran.panicked);
        }
        Ok(Some(served))
    }

    /// Runs one request.
    fn run_one(&self, work: &Work, savepoints: Savepoints) -> Result<Ran, CatalogError> {
        let before = self.connection.total_changes();
        let mut tx = SqliteTx {
            connection: &self.connection,
            now: self.clock.now(),
        };
        if savepoints == Savepoints::Each {
            self.statement("SAVEPOINT request", "setting a savepoint")?;
        }
        let verdict = catch_unwind(AssertUnwindSafe(|| work(&mut tx)));
        if self.connection.is_autocommit() {
            // A grave failure, such as a full disk, makes SQLite undo the whole transaction.
            return Err(CatalogError::Failed {
                doing: "running a shared transaction",
                kind: ErrorKind::Repair,
                source: Arc::new(std::io::Error::other("the database undid the transaction")),
            });
        }
        let keep = matches!(verdict, Ok(Verdict::Keep));
        let changed = self.connection.total_changes() != before;
        if savepoints == Savepoints::Each {
            if !keep {
                self.statement("ROLLBACK TO request", "rolling back a request")?;
            }
            self.statement("RELEASE request", "releasing a savepoint")?;
        }
        Ok(Ran {
            changed: keep && changed,
            panicked: verdict.is_err(),
            spoils: !keep && changed && savepoints == Savepoints::None,
        })
    }

    /// Copies the write-ahead log into the file once it is long. The batch before is answered
    /// by then, so nobody waits for this but the next one.
    fn shorten_log(&self) {
        let log_pages = |mode: &str| {
            self.connection
                .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))
                .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(1)))
        };
        let outcome = match log_pages("NOOP") {
            Ok(pages) if LOG_PAGES <= pages => log_pages("PASSIVE"),
            other => other,
        };
        if let Err(error) = outcome {
            // The log stays long; the next batch tries again, and SQLite's own threshold is
            // still ahead.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the catalog's write-ahead log cannot be shortened"
            );
        }
    }

    fn statement(&self, sql: &str, doing: &'static str) -> Result<(), CatalogError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(|_| ())
            .map_err(|error| failed(doing, error))
    }
}
