//! Those who read, each request on one consistent state: a few threads, and the callers of
//! short reads themselves.
//!
//! They do not know what the requests look for; their connections cannot write.
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::Clock;
use rusqlite::Connection;

use super::tx::{SqliteTx, failed};
use crate::{
    error::CatalogError,
    queue::{Request, SharedQueue},
    transaction::Work,
};

/// A connection that reads.
pub(super) struct View {
    pub(super) connection: Connection,
    pub(super) clock: Arc<dyn Clock>,
}

/// Connections for short reads, which run where they are asked for: two changes of threads cost
/// more than the look at a row.
pub(super) struct PointReads(Mutex<Vec<View>>);

/// One reading thread's parts.
pub(super) struct Reader {
    pub(super) view: View,
    pub(super) queue: SharedQueue,
}

impl Reader {
    /// Serves until the queue is closed and empty.
    pub(super) fn run(self) {
        while let Some(Request { work, answer }) = self.queue.next() {
            if !answer.is_closed() {
                answer.send(self.view.serve(&*work)).ok();
            }
        }
    }
}

impl fmt::Debug for PointReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PointReads(..)")
    }
}

impl PointReads {
    pub(super) fn new(views: Vec<View>) -> Self {
        Self(Mutex::new(views))
    }

    /// Runs a short read on a connection that is idle; none when all are in use.
    pub(super) fn serve(&self, work: &Work) -> Option<Result<(), CatalogError>> {
        let view = self.lock().pop()?;
        let outcome = view.serve(work);
        self.lock().push(view);
        Some(outcome)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<View>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn serve(&self, work: &Work) -> Result<(), CatalogError> {
        if !self.connection.is_autocommit() {
            self.statement("ROLLBACK", "ending a transaction")?;
        }
        self.statement("BEGIN DEFERRED", "beginning a transaction")?;
        let mut tx = SqliteTx {
            connection: &self.connection,
            now: self.clock.now(),
        };
        let ran = catch_unwind(AssertUnwindSafe(|| work(&mut tx)));
        self.statement("ROLLBACK", "ending a transaction")?;
        ran.map(|_| ()).map_err(|_| CatalogError::Panicked)
    }

    fn statement(&self, sql: &str, doing: &'static str) -> Result<(), CatalogError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map(|_| ())
            .map_err(|error| failed(doing, error))
    }
}
