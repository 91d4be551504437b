//! The catalog in a PostgreSQL database, which several nodes share.
//!
//! It does not know what the transactions are about, nor which other nodes there are: the
//! database keeps them apart.
//!
//! Each node has one session that writes and a few that read, each on a thread of its own. As
//! with SQLite, requests that wait while a commit is under way share the next one, each inside
//! a savepoint. Transactions are SERIALIZABLE; one that met another is run again, alone:
//! docs/decisions/0008-postgres-catalog.md.
mod clock;
mod commit_marker;
mod error;
mod reader;
mod schema;
mod session;
mod tls;
mod tx;
mod url;
mod write_buffer;
mod writer;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use self::{
    commit_marker::CommitMarker, error::SessionError, session::Session, url::Place, writer::Writer,
};
use crate::{
    error::CatalogError,
    queue::{RequestQueue, Threads},
    transaction::{Catalog, Work},
};

/// Threads that read, with a connection each.
const READERS: usize = 4;

/// The catalog in a PostgreSQL database.
pub struct PostgresCatalog {
    shown: PathBuf,
    commits: Arc<AtomicU64>,
    threads: Threads,
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
        let (mut threads, write_queue, read_queue) = Threads::new();
        let (opened, outcome) = std::sync::mpsc::sync_channel(1);
        let (at, counted) = (place.clone(), Arc::clone(&commits));
        // On a thread of its own, since a session brings its own runtime.
        threads.start("catalog-write", move || {
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
        })?;
        outcome.recv().map_err(|_| CatalogError::Panicked)??;
        for _ in 0..READERS {
            let reader = reader::Reader {
                place: place.clone(),
                session: None,
                queue: read_queue.clone(),
            };
            threads.start("catalog-read", move || reader.run())?;
        }
        Ok(Self {
            shown: place.shown,
            commits,
            threads,
        })
    }
}

fn begin(
    place: Place,
    queue: RequestQueue,
    commits: Arc<AtomicU64>,
) -> Result<Writer, SessionError> {
    let mut session = Session::open(&place)?;
    schema::migrate(&mut session, &place)?;
    let mut marker = CommitMarker::new();
    marker.enter(&session)?;
    if session.one_text("SHOW fsync")? != "on" {
        tracing::warn!(catalog = %place.shown.display(), "the server runs with fsync=off: what it commits is lost with the power");
    }
    Ok(Writer {
        place,
        session: Some(session),
        marker,
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
        self.threads.write(work).await
    }

    async fn read_boxed(&self, work: Box<Work>) -> Result<(), CatalogError> {
        self.threads.read(work).await
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}
