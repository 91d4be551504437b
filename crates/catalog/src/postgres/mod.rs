//! The catalog in a PostgreSQL database, which several nodes share.
//!
//! It does not know what the transactions are about, nor which other nodes there are: the
//! database keeps them apart.
//!
//! Each node has one session that writes and a few that read, each on a thread of its own. As
//! with SQLite, requests that wait while a commit is under way share the next one, each inside
//! a savepoint. Transactions are SERIALIZABLE; one that met another is run again, alone:
//! docs/decisions/0008-postgres-catalog.md.
mod commit;
mod gather;
mod place;
mod reader;
mod schema;
mod session;
mod tls;
mod trouble;
mod tx;
mod writer;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::{commit::Marks, place::Place, session::Session, writer::Writer};
use crate::{
    error::{CatalogError, ErrorKind},
    transaction::{Catalog, Work},
};

/// Requests that wait for the writer, or for the readers; more wait in their callers.
const QUEUE_MAX: usize = 1_024;
/// Threads that read, with a connection each.
const READERS: usize = 4;

/// What a request's thread sends back.
type Answer = oneshot::Sender<Result<(), CatalogError>>;

/// A transaction on its way to a thread.
struct Request {
    work: Box<Work>,
    answer: Answer,
}

/// The catalog in a PostgreSQL database.
pub struct PostgresCatalog {
    shown: PathBuf,
    commits: Arc<AtomicU64>,
    queues: Option<Queues>,
    threads: Vec<JoinHandle<()>>,
}

struct Queues {
    write: mpsc::Sender<Request>,
    read: mpsc::Sender<Request>,
}

impl fmt::Debug for PostgresCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresCatalog")
            .field("place", &self.shown)
            .field("commits", &self.commits.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

impl PostgresCatalog {
    /// Opens the catalog at a `postgres://` URL, and makes its tables, or brings them up to date.
    /// Blocks for the time that takes. Leases and graces go by the database's clock.
    ///
    /// # Errors
    /// `NewerSchema` and `Foreign` by what the database holds; `Failed` when it cannot be reached.
    pub fn open(url: &str) -> Result<Self, CatalogError> {
        let place = Place::parse(url)?;
        let commits = Arc::new(AtomicU64::new(0));
        let (write, write_queue) = mpsc::channel(QUEUE_MAX);
        let (read, read_queue) = mpsc::channel(QUEUE_MAX);
        let (opened, outcome) = std::sync::mpsc::sync_channel(1);
        let (at, counted) = (place.clone(), Arc::clone(&commits));
        // On a thread of its own, since a session brings its own runtime.
        let mut threads = vec![spawn("catalog-write", move || {
            match begin(at, write_queue, counted) {
                Ok(writer) => {
                    let told = opened.send(Ok(()));
                    drop(opened);
                    if told.is_ok() {
                        writer.run();
                    }
                }
                Err(trouble) => {
                    opened.send(Err(trouble.told())).ok();
                }
            }
        })?];
        outcome.recv().map_err(|_| CatalogError::Panicked)??;
        let shared = Arc::new(Mutex::new(read_queue));
        for _ in 0..READERS {
            let reader = reader::Reader {
                place: place.clone(),
                session: None,
                queue: Arc::clone(&shared),
            };
            threads.push(spawn("catalog-read", move || reader.run())?);
        }
        Ok(Self {
            shown: place.shown,
            commits,
            queues: Some(Queues { write, read }),
            threads,
        })
    }

    fn queues(&self) -> Result<&Queues, CatalogError> {
        self.queues.as_ref().ok_or(CatalogError::Closed)
    }
}

fn begin(
    place: Place,
    queue: mpsc::Receiver<Request>,
    commits: Arc<AtomicU64>,
) -> Result<Writer, trouble::Trouble> {
    let mut session = Session::open(&place)?;
    schema::migrate(&mut session, &place)?;
    let mut marks = Marks::new();
    marks.enter(&session)?;
    if session.one_text("SHOW fsync")? != "on" {
        tracing::warn!(catalog = %place.shown.display(), "the server runs with fsync=off: what it commits is lost with the power");
    }
    Ok(Writer {
        place,
        session: Some(session),
        marks,
        queue,
        commits,
        away_since: None,
        crowded: 0,
        draws: false,
    })
}

#[async_trait]
impl Catalog for PostgresCatalog {
    async fn write_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        ask(&self.queues()?.write, work).await
    }

    async fn read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        ask(&self.queues()?.read, work).await
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

impl Drop for PostgresCatalog {
    /// Lets the threads finish what was queued. Blocks for at most the last batch.
    fn drop(&mut self) {
        self.queues = None;
        for thread in self.threads.drain(..) {
            // A catalog whose last owner is a request's function is dropped on its own thread.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!(catalog = %self.shown.display(), "a catalog thread had panicked");
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, CatalogError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| CatalogError::Failed {
            doing: "starting its threads",
            kind: ErrorKind::Repair,
            source: Arc::new(error),
        })
}
