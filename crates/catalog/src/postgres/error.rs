//! What the database said, sorted by what can be done about it.
//!
//! It does not know which statement was run.
use std::{error::Error, sync::Arc};

use tokio_postgres::error::SqlState;

use crate::error::{CatalogError, ErrorKind};

/// Why a statement or a transaction did not go through.
#[derive(Debug, Clone)]
pub(super) enum SessionError {
    /// Another transaction was in its way; run again, it may succeed.
    Conflict,
    /// The connection or the server is gone, or the server may no longer be written to.
    Lost(Arc<dyn Error + Send + Sync>),
    /// A COMMIT was sent, and nobody can be asked any more whether it happened.
    Unknown(Arc<dyn Error + Send + Sync>),
    /// It will not succeed by being run again.
    Failed(CatalogError),
}

impl SessionError {
    /// What a caller of the catalog is told.
    pub(super) fn told(self) -> CatalogError {
        match self {
            Self::Conflict => CatalogError::Busy,
            Self::Lost(source) => CatalogError::Failed {
                doing: "talking to its PostgreSQL server",
                kind: ErrorKind::Retry,
                source,
            },
            Self::Unknown(source) => CatalogError::Failed {
                doing: "learning whether its PostgreSQL server had committed",
                kind: ErrorKind::Retry,
                source,
            },
            Self::Failed(error) => error,
        }
    }

    /// Sorts what a statement's failure means.
    pub(super) fn of(doing: &'static str, error: tokio_postgres::Error) -> Self {
        let failed = |error, kind| {
            Self::Failed(CatalogError::Failed {
                doing,
                kind,
                source: Arc::new(error),
            })
        };
        let Some(code) = error.code().cloned() else {
            if error
                .source()
                .is_some_and(|source| source.is::<WrongArgument>())
            {
                return failed(error, ErrorKind::Report);
            }
            return Self::Lost(Arc::new(error));
        };
        match code {
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Self::Conflict,
            SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => {
                Self::Failed(CatalogError::Busy)
            }
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::TOO_MANY_CONNECTIONS
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Lost(Arc::new(error)),
            SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
                let said = error.as_db_error().map(|error| error.message().to_owned());
                Self::Failed(CatalogError::corrupt(format!(
                    "{}, while {doing}",
                    said.unwrap_or_default()
                )))
            }
            // The classes of lost connections, of lacking resources and of the system's errors.
            ref other if other.code().starts_with("08") => Self::Lost(Arc::new(error)),
            ref other
                if ["28", "3D", "42501", "53", "58", "XX"]
                    .iter()
                    .any(|class| other.code().starts_with(class)) =>
            {
                failed(error, ErrorKind::Repair)
            }
            _ => failed(error, ErrorKind::Report),
        }
    }
}

/// An argument that is of another type than its place in the statement.
#[derive(Debug, thiserror::Error)]
#[error("an argument of the type {given} was given where {expected} is needed")]
pub(super) struct WrongArgument {
    pub(super) given: &'static str,
    pub(super) expected: String,
}

/// A failure that has only words.
pub(super) fn in_words(text: impl Into<String>) -> Arc<dyn Error + Send + Sync> {
    Arc::new(std::io::Error::other(text.into()))
}
