//! The threads that read, each request on one consistent state.
//!
//! They do not know what the requests look for; their connections cannot write.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use model::Clock;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    Request,
    tx::{SqliteTx, failed},
};
use crate::{error::CatalogError, transaction::Work};

/// The queue that the reading threads take turns at.
pub(super) type SharedQueue = Arc<Mutex<mpsc::Receiver<Request>>>;

/// Makes a queue that several threads can take from.
pub(super) fn share(queue: mpsc::Receiver<Request>) -> SharedQueue {
    Arc::new(Mutex::new(queue))
}

/// One reading thread's parts.
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) queue: SharedQueue,
}

impl Reader {
    /// Serves until the queue is closed and empty.
    pub(super) fn run(self) {
        while let Some(Request { work, answer }) = self.next() {
            if !answer.is_closed() {
                answer.send(self.serve(&*work)).ok();
            }
        }
    }

    /// One idle thread waits in the queue, the others for the lock: the effect is the same.
    fn next(&self) -> Option<Request> {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv()
    }

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
