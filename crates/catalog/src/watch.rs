//! A catalog that tells what its commits touched, so that whoever waits for such rows wakes.
//!
//! It does not know who waits.
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use async_trait::async_trait;
use model::Timestamp;

use crate::{
    error::CatalogError,
    transaction::{Catalog, CommitMark, Touched, Tx, Verdict, Work},
    value::{AppendTable, Arg, Row, Sums},
};

/// Told what a commit touched.
type Listener = dyn Fn(Touched) + Send + Sync;

/// A catalog whose commits are heard. Nobody who adds a job or changes a record has to signal it.
pub struct WatchedCatalog {
    catalog: Arc<dyn Catalog>,
    listener: Box<Listener>,
    traceparent: fn() -> Option<String>,
}

impl WatchedCatalog {
    /// `listener` runs on the task that asked for the commit, before that hears of it; `traceparent`
    /// too, before the transaction begins, and answers the span that it belongs to.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        listener: impl Fn(Touched) + Send + Sync + 'static,
        traceparent: fn() -> Option<String>,
    ) -> Self {
        Self {
            catalog,
            listener: Box::new(listener),
            traceparent,
        }
    }
}

impl fmt::Debug for WatchedCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.catalog.fmt(f)
    }
}

#[async_trait]
impl Catalog for WatchedCatalog {
    async fn write_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        // Of the last run, which alone counts.
        let touched = Arc::new(AtomicU8::new(0));
        let noted = Arc::clone(&touched);
        let traceparent = (self.traceparent)();
        let watched = Box::new(move |tx: &mut dyn Tx| {
            let mut watched = WatchedTx {
                tx,
                touched: 0,
                traceparent: traceparent.as_deref(),
            };
            let verdict = work(&mut watched);
            let kept = verdict == Verdict::Keep;
            noted.store(if kept { watched.touched } else { 0 }, Ordering::Release);
            verdict
        });
        let outcome = self.catalog.write_boxed(watched).await;
        // Also after an error: a commit whose answer was lost may have happened.
        let bits = touched.load(Ordering::Acquire);
        for what in Touched::ALL {
            if bits & what.bit() != 0 {
                (self.listener)(what);
            }
        }
        outcome
    }

    async fn read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        self.catalog.read_boxed(work).await
    }

    async fn point_read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        self.catalog.point_read_boxed(work).await
    }

    fn commits(&self) -> u64 {
        self.catalog.commits()
    }

    fn mark(&self) -> Option<CommitMark> {
        self.catalog.mark()
    }

    fn is_at(&self, then: &CommitMark) -> bool {
        self.catalog.is_at(then)
    }
}

struct WatchedTx<'a> {
    tx: &'a mut dyn Tx,
    touched: u8,
    traceparent: Option<&'a str>,
}

impl Tx for WatchedTx<'_> {
    fn now(&self) -> Timestamp {
        self.tx.now()
    }

    fn traceparent(&self) -> Option<&str> {
        self.traceparent
    }

    fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, CatalogError> {
        self.tx.execute(sql, args)
    }

    fn query(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, CatalogError> {
        self.tx.query(sql, args)
    }

    fn append(&mut self, table: &'static AppendTable, row: &[Arg<'_>]) -> Result<(), CatalogError> {
        self.tx.append(table, row)
    }

    fn add(&mut self, sums: &'static Sums, key: &[&str], change: i64) -> Result<(), CatalogError> {
        self.tx.add(sums, key, change)
    }

    fn sum(&mut self, sums: &'static Sums, key: &[&str]) -> Result<i64, CatalogError> {
        self.tx.sum(sums, key)
    }

    fn next_version(&mut self) -> Result<u64, CatalogError> {
        self.tx.next_version()
    }

    fn version(&mut self) -> Result<u64, CatalogError> {
        self.tx.version()
    }

    fn raise_version(&mut self, floor: u64) -> Result<(), CatalogError> {
        self.tx.raise_version(floor)
    }

    fn touch(&mut self, what: Touched) {
        self.touched |= what.bit();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use model::{JobKind, SystemClock};

    use super::*;
    use crate::{CatalogExt, SqliteCatalog, conformance::samples, jobs, meta};

    #[tokio::test]
    async fn commits_are_heard_and_what_was_undone_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("catalog");
        let sqlite = SqliteCatalog::open(&path, Arc::new(SystemClock)).expect("a catalog");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heard);
        let listener = move |what| noted.lock().expect("no panic").push(what);
        let traceparent = || Some("00-trace-span-01".to_owned());
        let catalog = WatchedCatalog::new(Arc::new(sqlite), listener, traceparent);
        let take = || std::mem::take(&mut *heard.lock().expect("no panic"));
        let job = samples::job(JobKind::of("create-snapshot"), "a");
        let id = job.id;
        let added = catalog.write(move |tx| jobs::insert(tx, &job));
        added.await.expect("a job");
        let kept = catalog.read(move |tx| jobs::get(tx, id));
        let kept = kept.await.expect("read").expect("a job");
        assert_eq!(kept.traceparent.as_deref(), Some("00-trace-span-01"));
        assert_eq!(take(), [Touched::Jobs]);
        let noted = catalog.write(|tx| meta::get_or_set(tx, meta::MODE, "closed"));
        noted.await.expect("a note");
        assert_eq!(take(), [Touched::Records]);
        let undone = catalog.write(|tx| {
            jobs::insert(tx, &samples::job(JobKind::of("create-snapshot"), "a"))?;
            Err::<(), _>(CatalogError::Closed)
        });
        undone.await.expect_err("undone");
        assert_eq!(take(), []);
    }
}
