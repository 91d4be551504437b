//! What can go wrong in the catalog, and what a caller can do about it.
//!
//! It does not know RDS's faults: the service maps the variants it expects.
use std::{
    error::Error,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub use model::ErrorKind;
use model::JobId;

/// Tells of damage, the remedy at the first time.
fn note(error: &CatalogError) {
    if !DAMAGE_SEEN.swap(true, Ordering::Relaxed) {
        tracing::error!(%error, remedy = DAMAGE_HINT, "the catalog is damaged");
    }
}

/// Why the catalog did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// A record of that name is there already.
    #[error("{what} exists already")]
    Conflict {
        /// Kind and name of the record.
        what: String,
    },
    /// Compare-and-swap failed: the record has another version, or is gone.
    #[error("{what} was changed or deleted meanwhile")]
    Stale {
        /// Kind and name of the record.
        what: String,
    },
    /// A record cannot go from where it stands to where it was sent.
    #[error("{what} is {from} and cannot become {to}")]
    IllegalMove {
        /// Kind and name of the record.
        what: String,
        /// Where it stands.
        from: &'static str,
        /// Where it was sent.
        to: &'static str,
    },
    /// Another runner has the job now, or it is no longer open.
    #[error("the lease of job {job} is lost")]
    LeaseLost {
        /// The job.
        job: JobId,
    },
    /// The catalog was written by a newer build.
    #[error(
        "the catalog {path} has schema {found}, and this build knows schemas up to {known}: run the newer build, or restore a backup"
    )]
    NewerSchema {
        /// The catalog's file, or its URL without the password.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// The newest schema that this build knows.
        known: u64,
    },
    /// The database is another program's.
    #[error("{path} is a database, but not a catalog")]
    Foreign {
        /// Its file, or its URL without the password.
        path: PathBuf,
    },
    /// Another process holds the write lock for too long.
    #[error("the catalog is busy")]
    Busy,
    /// The catalog was closed before it did the work.
    #[error("the catalog is closed")]
    Closed,
    /// The transaction's function panicked; nothing of it was kept.
    #[error("a transaction's function panicked")]
    Panicked,
    /// The database itself is damaged.
    #[error("the catalog's database is damaged: {found}")]
    Corrupt {
        /// What the database said.
        found: String,
    },
    /// The database does not have the tables of its schema.
    #[error("the catalog {path} says that it has schema {schema}, but {what} is not as there")]
    Misshapen {
        /// The catalog's file.
        path: PathBuf,
        /// Its schema.
        schema: u64,
        /// The table or index.
        what: String,
    },
    /// A stored row does not read back as what was stored.
    #[error("{what} in the catalog cannot be read")]
    Damaged {
        /// Kind and name of the record, or the column.
        what: String,
        /// What the reader said, if there was one.
        #[source]
        source: Option<Arc<dyn Error + Send + Sync>>,
    },
    /// The database failed.
    #[error("the catalog failed while {doing}")]
    Failed {
        /// What it was about to do.
        doing: &'static str,
        /// What a caller should do.
        kind: ErrorKind,
        /// What the database said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

/// Whether this process met damage in its catalog.
static DAMAGE_SEEN: AtomicBool = AtomicBool::new(false);

/// Whether damage was met in the catalog since this process began: what it answers may be wrong.
pub fn damage_seen() -> bool {
    DAMAGE_SEEN.load(Ordering::Relaxed)
}

/// What to do about a damaged catalog.
pub const DAMAGE_HINT: &str = "stop the server and restore a backup of the catalog (`sqlite3 FILE .recover`      saves what can be read of one in a file), or move the damaged one away and fill a new one with      `snapferry catalog rebuild`";

impl CatalogError {
    /// A row that does not read back; it is told, and remembered.
    pub(crate) fn damaged(
        what: impl Into<String>,
        source: Option<Arc<dyn Error + Send + Sync>>,
    ) -> Self {
        let error = Self::Damaged {
            what: what.into(),
            source,
        };
        note(&error);
        error
    }

    /// A database that found itself damaged; it is told, and remembered.
    pub(crate) fn corrupt(found: impl Into<String>) -> Self {
        let error = Self::Corrupt {
            found: found.into(),
        };
        note(&error);
        error
    }

    /// What a caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Stale { .. } | Self::Busy => ErrorKind::Retry,
            Self::Conflict { .. } | Self::LeaseLost { .. } | Self::Closed => ErrorKind::Refuse,
            Self::NewerSchema { .. }
            | Self::Foreign { .. }
            | Self::Corrupt { .. }
            | Self::Misshapen { .. }
            | Self::Damaged { .. } => ErrorKind::Repair,
            Self::Panicked | Self::IllegalMove { .. } => ErrorKind::Report,
            Self::Failed { kind, .. } => *kind,
        }
    }
}
