//! The catalog in one SQLite file: one thread writes and shares commits, a few threads read.
//!
//! It does not know what the transactions are about. Other processes may have the file open
//! too; SQLite's own locks keep them apart.
//!
//! Requests that wait while a commit is on its way to the disk are put into the next one
//! together, and are answered only after that COMMIT (write-ahead log, `synchronous=FULL`):
//! docs/decisions/0003-sqlite-shared-commits.md.
mod check;
mod connection;
mod mark;
mod reader;
mod schema;
mod tx;
mod writer;

use std::{
    fmt,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::Clock;

use self::{
    connection::{connect, set},
    mark::LogWatch,
    reader::PointReads,
};
use crate::{
    error::{CatalogError, ErrorKind},
    queue::Threads,
    transaction::{Catalog, CommitMark, Work},
};

/// Threads that read. Reads are short and come from memory, so a few go a long way.
const READERS: usize = 2;
/// Short reads that run at once where they are asked for; more go to the reading threads.
const POINT_READS: usize = 4;
/// Memory that the writing connection keeps pages in at most, KiB: what a large batch changes must
/// fit, or it is written to the log twice. Those that read keep SQLite's 2,000.
const CACHE_KIB: i64 = 8 << 10;
/// The catalog in one SQLite file.
pub struct SqliteCatalog {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    log: LogWatch,
    commits: Arc<AtomicU64>,
    threads: Threads,
    point_reads: PointReads,
}

impl fmt::Debug for SqliteCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteCatalog")
            .field("path", &self.path)
            .field("commits", &self.commits.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

impl SqliteCatalog {
    /// Opens the catalog in a file, which is made (mode 0600) when it is missing, and brings its
    /// schema up to date. Blocks for the time that takes. `clock` tells leases and graces.
    ///
    /// # Errors
    /// `NewerSchema` and `Foreign` by what the file holds; `Failed` when it cannot be opened.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
        // SQLite gives its side files the mode of the main one, so that has to be right first.
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| CatalogError::Failed {
                doing: "opening its file",
                kind: ErrorKind::Repair,
                source: Arc::new(error),
            })?;
        let mut writing = connect(path)?;
        // Negative for KiB, positive for pages.
        set(&writing, "cache_size", -CACHE_KIB)?;
        schema::migrate(&mut writing, path)?;
        let views = |count: usize| {
            let view = |_| {
                let connection = connect(path)?;
                set(&connection, "query_only", true)?;
                Ok(reader::View {
                    connection,
                    clock: Arc::clone(&clock),
                })
            };
            (0..count)
                .map(view)
                .collect::<Result<Vec<_>, CatalogError>>()
        };
        let (reading, point_reads) = (views(READERS)?, PointReads::new(views(POINT_READS)?));
        let commits = Arc::new(AtomicU64::new(0));
        let (mut threads, write_queue, read_queue) = Threads::new();
        let writer = writer::Writer {
            connection: writing,
            clock: Arc::clone(&clock),
            queue: write_queue,
            commits: Arc::clone(&commits),
        };
        threads.start("catalog-write", move || writer.run())?;
        for view in reading {
            let reader = reader::Reader {
                view,
                queue: read_queue.clone(),
            };
            threads.start("catalog-read", move || reader.run())?;
        }
        Ok(Self {
            path: path.to_owned(),
            clock,
            log: LogWatch::of(path),
            commits,
            threads,
            point_reads,
        })
    }

    /// Looks at the whole file for damage, and waits up to `patience` for what is found. A larger
    /// file is looked at to its end meanwhile: see [`crate::damage_seen`]. Blocks.
    ///
    /// # Errors
    /// `Corrupt`, or that it cannot be looked at.
    pub fn check(&self, patience: Duration) -> Result<(), CatalogError> {
        check::check(&self.path, patience)
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn write_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        self.threads.write(work).await
    }

    async fn read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        self.threads.read(work).await
    }

    async fn point_read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        match self.point_reads.serve(&*work) {
            Some(outcome) => outcome,
            None => self.read_boxed(work).await,
        }
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn mark(&self) -> Option<CommitMark> {
        self.log.settled(self.commits(), &*self.clock)
    }

    fn is_at(&self, then: &CommitMark) -> bool {
        self.log.is_at(self.commits(), then)
    }
}
