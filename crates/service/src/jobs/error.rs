//! Why a try at a job ended without its commit.
//!
//! It does not know which job it was.
use catalog::CatalogError;
use engine::EngineError;
use model::{ErrorKind, Told};
use vault::VaultError;

use crate::{
    fault::{Fault, chain},
    keys::KeyError,
};

/// Why a try failed, for two readers. A text alone is the operator's: the account is then told
/// of an internal failure.
#[derive(Debug, Clone)]
pub struct Reason {
    /// For the account: its events tell it.
    pub told: Told,
    /// For the operator: the log and `snapferry job list`.
    pub log: String,
}

impl Reason {
    /// With words for the account.
    pub fn new(told: Told, log: impl Into<String>) -> Self {
        Self {
            told,
            log: log.into(),
        }
    }
}

impl<T: Into<String>> From<T> for Reason {
    fn from(log: T) -> Self {
        Self::new(Told::INTERNAL, log)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.log)
    }
}

/// Why a try at a job ended without its commit.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The job cannot be tried now: what it needs is held by others, such as a slot of the
    /// database's server. The runner gives the job back, without a place, a lease or an attempt
    /// used up, and tries it again soon; after about a day of that it is given up.
    #[error("{0}")]
    Wait(Reason),
    /// Another try may succeed: one of [`model::limits::JOB_ATTEMPTS_MAX`].
    #[error("{0}")]
    Retry(Reason),
    /// No try can succeed.
    #[error("{0}")]
    Fail(Reason),
    /// The lease is gone: another runner has the job, or it was canceled.
    #[error("the job is no longer this runner's")]
    Lost,
    /// The record is gone: there is nothing left to do.
    #[error("what the job worked on is gone")]
    Gone,
    /// The process is to end; the next one goes on.
    #[error("the process is ending")]
    Stopping,
}

impl JobError {
    /// Another try may succeed; the account is told of an internal failure.
    pub fn retry(log: impl Into<String>) -> Self {
        Self::Retry(Reason::from(log.into()))
    }

    /// What an error of this kind is to a job.
    fn of(kind: ErrorKind, reason: Reason) -> Self {
        match kind {
            ErrorKind::Wait => Self::Wait(reason),
            ErrorKind::Retry => Self::Retry(reason),
            ErrorKind::Refuse | ErrorKind::Repair | ErrorKind::Report => Self::Fail(reason),
            ErrorKind::Stop => Self::Stopping,
        }
    }

    /// No try can succeed; the account is told of an internal failure.
    pub fn fail(log: impl Into<String>) -> Self {
        Self::Fail(Reason::from(log.into()))
    }
}

impl From<CatalogError> for JobError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::LeaseLost { .. } => Self::Lost,
            // What keeps the records must be put right first: the work itself decided nothing.
            error => Self::retry(chain(&error)),
        }
    }
}

impl From<VaultError> for JobError {
    fn from(error: VaultError) -> Self {
        Self::of(error.kind(), Reason::new(error.told(), chain(&error)))
    }
}

impl From<EngineError> for JobError {
    fn from(error: EngineError) -> Self {
        Self::of(error.kind(), Reason::new(error.told(), chain(&error)))
    }
}

impl From<KeyError> for JobError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Catalog(inner) => Self::from(inner),
            KeyError::Unavailable { .. } => Self::Retry(Reason::new(error.told(), chain(&error))),
            other => Self::Fail(Reason::new(other.told(), chain(&other))),
        }
    }
}

impl From<Fault> for JobError {
    fn from(fault: Fault) -> Self {
        let reason = Reason::new(Told::answered(fault.message.clone()), fault.to_string());
        Self::of(fault.code.kind(), reason)
    }
}
