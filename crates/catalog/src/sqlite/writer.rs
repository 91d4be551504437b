//! The thread that writes: it gathers what waits, runs each request in a savepoint, commits once.
//!
//! It does not know what the requests do.
//!
//! Invariant: a request is answered only after the COMMIT that holds it has returned. A good
//! answer before it could be lost with the power; a refusal before it could rest on another
//! request's rows that are then lost.
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use model::Clock;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    Answer, Request,
    tx::{SqliteTx, failed},
};
use crate::{
    error::{CatalogError, ErrorKind},
    transaction::{Verdict, Work},
};

/// Requests that share one commit at most; bounds how long the first of them waits.
const BATCH_MAX: usize = 256;

/// The writing thread's parts.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) queue: mpsc::Receiver<Request>,
    pub(super) commits: Arc<AtomicU64>,
}

/// What one request's function did.
struct Ran {
    changed: bool,
    panicked: bool,
}

impl Writer {
    /// Serves until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut batch = VecDeque::with_capacity(BATCH_MAX);
        while let Some(first) = self.queue.blocking_recv() {
            batch.push_back(first);
            while batch.len() < BATCH_MAX
                && let Ok(next) = self.queue.try_recv()
            {
                batch.push_back(next);
            }
            // Where nobody waits for the answer any more, the caller gave up before it began.
            batch.retain(|request| !request.answer.is_closed());
            self.serve(&mut batch);
        }
    }

    /// Runs a batch in one transaction and answers each request.
    fn serve(&self, batch: &mut VecDeque<Request>) {
        if batch.is_empty() {
            return;
        }
        let mut ran = Vec::with_capacity(batch.len());
        let outcome = self.transaction(batch, &mut ran);
        for (answer, panicked) in ran {
            let outcome = match panicked {
                true => Err(CatalogError::Panicked),
                false => outcome.clone(),
            };
            // Whoever asked may have gone since; what was kept stays kept.
            answer.send(outcome).ok();
        }
        // Left over only when the transaction broke before their turn.
        for request in batch.drain(..) {
            let outcome = outcome.clone().and(Err(CatalogError::Closed));
            request.answer.send(outcome).ok();
        }
    }

    /// Moves what it ran from `batch` to `ran`, with whether the function panicked.
    fn transaction(
        &self,
        batch: &mut VecDeque<Request>,
        ran: &mut Vec<(Answer, bool)>,
    ) -> Result<(), CatalogError> {
        if !self.connection.is_autocommit() {
            // An earlier rollback failed; nothing can be begun before it has worked.
            self.statement("ROLLBACK", "rolling back")?;
        }
        self.statement("BEGIN IMMEDIATE", "beginning a transaction")?;
        let result = self.run_all(batch, ran);
        let result = result.and_then(|changed| {
            self.statement("COMMIT", "committing")?;
            self.commits
                .fetch_add(u64::from(changed), Ordering::Relaxed);
            Ok(())
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

    fn run_all(
        &self,
        batch: &mut VecDeque<Request>,
        ran: &mut Vec<(Answer, bool)>,
    ) -> Result<bool, CatalogError> {
        let mut changed = false;
        while let Some(Request { work, answer }) = batch.pop_front() {
            let one = self.run_one(&*work);
            ran.push((answer, matches!(&one, Ok(one) if one.panicked)));
            changed |= one?.changed;
        }
        Ok(changed)
    }

    /// Runs one request in a savepoint.
    fn run_one(&self, work: &Work) -> Result<Ran, CatalogError> {
        let before = self.connection.total_changes();
        let mut tx = SqliteTx {
            connection: &self.connection,
            now: self.clock.now(),
        };
        self.statement("SAVEPOINT request", "setting a savepoint")?;
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
        if !keep {
            self.statement("ROLLBACK TO request", "rolling back a request")?;
        }
        self.statement("RELEASE request", "releasing a savepoint")?;
        Ok(Ran {
            changed: keep && self.connection.total_changes() != before,
            panicked: verdict.is_err(),
        })
    }

    fn statement(&self, sql: &str, doing: &'static str) -> Result<(), CatalogError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(|_| ())
            .map_err(|error| failed(doing, error))
    }
}
