//! The catalog in one SQLite file: one thread writes and shares commits, a few threads read.
//!
//! It does not know what the transactions are about. Other processes may have the file open
//! too; SQLite's own locks keep them apart.
//!
//! Requests that wait while a commit is on its way to the disk are put into the next one
//! together, and are answered only after that COMMIT (write-ahead log, `synchronous=FULL`):
//! docs/decisions/0003-sqlite-shared-commits.md.
mod check;
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
    thread::{self, JoinHandle},
    time::Duration,
};

use async_trait::async_trait;
use model::Clock;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use self::reader::Glances;
use crate::{
    error::{CatalogError, ErrorKind},
    transaction::{Catalog, Work},
};

/// Requests that wait for the writer, or for the readers; more wait in their callers.
const QUEUE_MAX: usize = 1_024;
/// Threads that read. Reads are short and come from memory, so a few go a long way.
const READERS: usize = 2;
/// Short reads that run at once where they are asked for; more go to the reading threads.
const GLANCES: usize = 4;
/// How long another process may hold the write lock before a request is told `Busy`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that each connection keeps prepared.
const STATEMENTS_MAX: usize = 128;
/// The write-ahead log is copied into the file after this many pages, between two batches:
/// rarely enough that a burst of commits waits for the disk only once each.
const LOG_PAGES: i64 = 4_000;
/// Where SQLite does the same by itself, within a commit.
const LOG_PAGES_MAX: i64 = 4 * LOG_PAGES;
/// Memory that the writing connection keeps pages in at most, KiB: what a large batch changes must
/// fit, or it is written to the log twice. Those that read keep SQLite's 2,000.
const CACHE_KIB: i64 = 8 << 10;
/// The write-ahead log is cut back to this once it was copied into the file, bytes.
const LOG_BYTES_KEPT: i64 = 16 << 20;
/// Each thread's stack, bytes; functions over `Tx` are shallow, but answers can be large.
const STACK_BYTES: usize = 1 << 20;

/// What a request's thread sends back.
type Answer = oneshot::Sender<Result<(), CatalogError>>;

/// A transaction on its way to a thread.
struct Request {
    work: Box<Work>,
    answer: Answer,
}

/// The catalog in one SQLite file.
pub struct SqliteCatalog {
    path: PathBuf,
    commits: Arc<AtomicU64>,
    // Dropped first: the threads end when their queues are closed.
    queues: Option<Queues>,
    threads: Vec<JoinHandle<()>>,
    glances: Glances,
}

struct Queues {
    write: mpsc::Sender<Request>,
    read: mpsc::Sender<Request>,
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
        let (reading, glances) = (views(READERS)?, Glances::new(views(GLANCES)?));
        let commits = Arc::new(AtomicU64::new(0));
        let (write, write_queue) = mpsc::channel(QUEUE_MAX);
        let (read, read_queue) = mpsc::channel(QUEUE_MAX);
        let writer = writer::Writer {
            connection: writing,
            clock: Arc::clone(&clock),
            queue: write_queue,
            commits: Arc::clone(&commits),
        };
        let mut threads = vec![spawn("catalog-write", move || writer.run())?];
        let shared = reader::share(read_queue);
        for view in reading {
            let reader = reader::Reader {
                view,
                queue: Arc::clone(&shared),
            };
            threads.push(spawn("catalog-read", move || reader.run())?);
        }
        Ok(Self {
            path: path.to_owned(),
            commits,
            queues: Some(Queues { write, read }),
            threads,
            glances,
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

    fn queues(&self) -> Result<&Queues, CatalogError> {
        self.queues.as_ref().ok_or(CatalogError::Closed)
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn write_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        ask(&self.queues()?.write, work).await
    }

    async fn read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        ask(&self.queues()?.read, work).await
    }

    async fn glance_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        match self.glances.serve(&*work) {
            Some(outcome) => outcome,
            None => self.read_boxed(work).await,
        }
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

async fn ask(queue: &mpsc::Sender<Request>, work: Box<Work>) -> Result<(), CatalogError> {
    let (answer, answered) = oneshot::channel();
    queue
        .send(Request { work, answer })
        .await
        .map_err(|_| CatalogError::Closed)?;
    answered.await.map_err(|_| CatalogError::Closed)?
}

impl Drop for SqliteCatalog {
    /// Lets the threads finish what was queued and close their connections, so that the file is
    /// whole and free when this returns. Blocks for at most the last batch.
    fn drop(&mut self) {
        self.queues = None;
        for thread in self.threads.drain(..) {
            // A catalog whose last owner is a request's function is dropped on its own thread.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!(path = %self.path.display(), "a catalog thread had panicked");
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, CatalogError> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map_err(|error| CatalogError::Failed {
            doing: "starting its threads",
            kind: ErrorKind::Repair,
            source: Arc::new(error),
        })
}

fn connect(path: &Path) -> Result<Connection, CatalogError> {
    let opening = |error| tx::failed("opening its file", error);
    let connection = Connection::open(path).map_err(opening)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(opening)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(opening)?;
    if mode != "wal" {
        // Such as on a network file system, where SQLite's locks cannot be trusted either.
        return Err(CatalogError::Failed {
            doing: "turning on its write-ahead log",
            kind: ErrorKind::Repair,
            source: Arc::new(std::io::Error::other(format!(
                "the file system allows only the journal mode {mode}"
            ))),
        });
    }
    set(&connection, "synchronous", "full")?;
    set(&connection, "wal_autocheckpoint", LOG_PAGES_MAX)?;
    // What a savepoint keeps to be undone is small and short-lived: no files for it.
    set(&connection, "temp_store", "memory")?;
    set(&connection, "journal_size_limit", LOG_BYTES_KEPT)?;
    set(&connection, "trusted_schema", false)?;
    Ok(connection)
}

fn set(
    connection: &Connection,
    name: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), CatalogError> {
    connection
        .pragma_update(None, name, value)
        .map_err(|error| tx::failed("setting up its connection", error))
}
