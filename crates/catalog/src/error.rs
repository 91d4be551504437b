//! What can go wrong in the catalog, and what a caller can do about it.
//!
//! It does not know RDS's faults: the service maps the variants it expects.
use std::{error::Error, path::PathBuf, sync::Arc};

use model::JobId;

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed soon.
    Retry,
    /// The call is wrong for the present state; the answer is no.
    Refuse,
    /// An operator has to act: disk full, file damaged, build too old.
    Repair,
    /// Should not happen; worth a bug report.
    Report,
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

impl CatalogError {
    /// What a caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Stale { .. } | Self::Busy => ErrorKind::Retry,
            Self::Conflict { .. } | Self::LeaseLost { .. } | Self::Closed => ErrorKind::Refuse,
            Self::NewerSchema { .. } | Self::Foreign { .. } | Self::Damaged { .. } => {
                ErrorKind::Repair
            }
            Self::Panicked => ErrorKind::Report,
            Self::Failed { kind, .. } => *kind,
        }
    }
}
