//! What went wrong first while files were read, on whichever thread that was.
use std::{
    io,
    sync::{Mutex, PoisonError},
};

use crate::error::EngineError;

/// Keeps the first failure.
#[derive(Debug, Default)]
pub(crate) struct FirstFailure(Mutex<Option<EngineError>>);

impl FirstFailure {
    /// Keeps it unless there was one, and gives what a sink hears of it.
    pub(crate) fn keep(&self, error: EngineError) -> io::Error {
        let told = io::Error::other(error.to_string());
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        told
    }

    /// Keeps that a file cannot be read.
    pub(crate) fn unreadable(&self, path: &str, error: io::Error) -> io::Error {
        self.keep(EngineError::io("read", path, error))
    }

    /// The first failure, once.
    pub(crate) fn take(&self) -> Option<EngineError> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.take()
    }
}
