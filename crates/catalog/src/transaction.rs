//! The door of the catalog: transactions as plain functions over [`Tx`].
//!
//! It does not know which database runs them.
use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use model::Timestamp;

use crate::{
    error::CatalogError,
    value::{AppendTable, Arg, Row, Sums},
};

/// A transaction that is under way.
pub trait Tx {
    /// The catalog's clock, by which leases and graces are measured; one moment a transaction.
    fn now(&self) -> Timestamp;

    /// The span that asked for this transaction, as a W3C traceparent; none where nobody collects spans.
    fn traceparent(&self) -> Option<&str> {
        None
    }

    /// Runs a statement that answers no rows; returns how many rows it changed.
    ///
    /// # Errors
    /// `Failed` when the database refuses it, `Busy` when a lock is not to be had.
    fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, CatalogError>;

    /// Runs a statement that answers rows. All are held in memory: bound them with LIMIT.
    ///
    /// # Errors
    /// `Failed` when the database refuses it, `Busy` when a lock is not to be had.
    fn query(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, CatalogError>;

    /// Adds a row to a table that grows at its end. Whatever this transaction does with the table
    /// later finds the row there; a catalog may write several of them together.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    fn append(&mut self, table: &'static AppendTable, row: &[Arg<'_>]) -> Result<(), CatalogError> {
        self.execute(table.insert(), row).map(|_| ())
    }

    /// Changes one of a table's sums. Whatever this transaction does with the table later finds it
    /// changed; a catalog may write several changes together.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    fn add(&mut self, sums: &'static Sums, key: &[&str], change: i64) -> Result<(), CatalogError> {
        let mut args: Vec<Arg<'_>> = key.iter().map(|part| Arg::from(*part)).collect();
        args.push(change.into());
        self.execute(sums.add, &args).map(|_| ())
    }

    /// One of a table's sums; 0 when nothing was added to it.
    ///
    /// # Errors
    /// As [`Tx::query`].
    fn sum(&mut self, sums: &'static Sums, key: &[&str]) -> Result<i64, CatalogError> {
        let args: Vec<Arg<'_>> = key.iter().map(|part| Arg::from(*part)).collect();
        let rows = self.query(sums.get, &args)?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }

    /// A number that is higher than all that this transaction can have seen. Record versions come
    /// from here, so that a record that is deleted and made anew never has a version twice.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    fn next_version(&mut self) -> Result<u64, CatalogError>;

    /// The highest version drawn so far. A database may show one that it forgets when it dies: what
    /// is written outside of the catalog takes [`Tx::durable_version`].
    ///
    /// # Errors
    /// As [`Tx::execute`].
    fn version(&mut self) -> Result<u64, CatalogError>;

    /// The highest version drawn so far, which is never drawn again once this transaction, one that
    /// may write, is answered.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    fn durable_version(&mut self) -> Result<u64, CatalogError> {
        // Where versions are counted in the transactions that draw them.
        self.version()
    }

    /// Lets the next version be above `floor`, and the next numbers of outbox entries and events above
    /// those that are there.
    ///
    /// # Errors
    /// As [`Tx::execute`].
    fn raise_version(&mut self, floor: u64) -> Result<(), CatalogError>;

    /// Says that this transaction added rows that somebody waits for: [`crate::WatchedCatalog`].
    fn touch(&mut self, _: Touched) {}
}

/// Rows that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Jobs that may be due.
    Jobs,
    /// Records that the record log has yet to hold.
    Records,
}

impl Touched {
    /// All there are.
    pub(crate) const ALL: [Self; 2] = [Self::Jobs, Self::Records];

    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What is to become of a transaction whose function has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Commit what it changed.
    Keep,
    /// Undo what it changed.
    Discard,
}

/// A place in the order of a catalog's commits: equal to a later one while nobody has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMark {
    /// Those of this process.
    pub(crate) commits: u64,
    /// When the log was written, seconds and nanoseconds.
    pub(crate) written: (i64, i64),
    /// Bytes of the log.
    pub(crate) len: u64,
}

/// A transaction's function, with its result type erased.
pub type Work = dyn Fn(&mut dyn Tx) -> Verdict + Send + Sync;

/// What exists. Callers use [`CatalogExt`].
#[async_trait]
pub trait Catalog: Send + Sync + fmt::Debug {
    /// Runs a function in a transaction that may write; answers once what it kept is durable.
    /// The function may run more than once; only the last run counts.
    ///
    /// # Errors
    /// When nothing was kept for a reason of the catalog's own.
    async fn write_boxed(&self, work: Box<Work>) -> Result<(), CatalogError>;

    /// Runs a function that only reads, on one consistent state that includes every write
    /// answered before.
    ///
    /// # Errors
    /// When it could not be run.
    async fn read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError>;

    /// As [`Catalog::read_boxed`], for a function that looks at a few rows by their keys: it may
    /// run on the caller's own thread.
    ///
    /// # Errors
    /// When it could not be run.
    async fn point_read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        self.read_boxed(work).await
    }

    /// Durable commits made since this catalog was opened; for metrics and tests.
    fn commits(&self) -> u64;

    /// Where the commits of all processes stand; none when that cannot be told cheaply.
    fn mark(&self) -> Option<CommitMark> {
        None
    }

    /// Whether nobody has committed since a mark of this catalog was taken.
    fn is_at(&self, _: &CommitMark) -> bool {
        false
    }
}

/// Typed transactions over any [`Catalog`].
pub trait CatalogExt: Catalog {
    /// Runs `work` in a transaction and answers its value once it is durable. An `Err` undoes
    /// all it did, and nothing of other requests.
    ///
    /// `work` must be quick and touch nothing but its `Tx`: others wait for it, and it may run
    /// again. Once this future is dropped the work may or may not happen.
    ///
    /// # Errors
    /// The function's own, or the catalog's turned into it.
    fn write<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        let (boxed, slot) = erase(work);
        async move {
            self.write_boxed(boxed).await?;
            take(&slot)
        }
    }

    /// Runs `work` on one consistent state.
    ///
    /// # Errors
    /// The function's own, or the catalog's turned into it.
    fn read<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        let (boxed, slot) = erase(work);
        async move {
            self.read_boxed(boxed).await?;
            take(&slot)
        }
    }

    /// Runs `work`, which looks at a few rows by their keys and no more, on one consistent
    /// state. What reads pages or lists uses [`CatalogExt::read`].
    ///
    /// # Errors
    /// The function's own, or the catalog's turned into it.
    fn point_read<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        F: Fn(&mut dyn Tx) -> Result<T, E> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        let (boxed, slot) = erase(work);
        async move {
            self.point_read_boxed(boxed).await?;
            take(&slot)
        }
    }
}

impl<C: Catalog + ?Sized> CatalogExt for C {}

type Slot<T, E> = Arc<Mutex<Option<Result<T, E>>>>;

fn erase<T, E, F>(work: F) -> (Box<Work>, Slot<T, E>)
where
    F: Fn(&mut dyn Tx) -> Result<T, E> + Send + Sync + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    let slot: Slot<T, E> = Arc::default();
    let filled = Arc::clone(&slot);
    let boxed = Box::new(move |tx: &mut dyn Tx| {
        let outcome = work(tx);
        let verdict = match outcome {
            Ok(_) => Verdict::Keep,
            Err(_) => Verdict::Discard,
        };
        *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        verdict
    });
    (boxed, slot)
}

fn take<T, E: From<CatalogError>>(slot: &Slot<T, E>) -> Result<T, E> {
    slot.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .unwrap_or_else(|| Err(CatalogError::Closed.into()))
}
