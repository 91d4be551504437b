//! The lists of parameters that were asked for, by version.
//!
//! It does not know how one is asked for.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::parameters::Parameter;

type Known = HashMap<String, Arc<Vec<Parameter>>>;

/// The lists that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Lists(Mutex<Known>);

impl Lists {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version's list, if it was asked for.
    pub(crate) fn get(&self, version: &str) -> Option<Arc<Vec<Parameter>>> {
        self.lock().get(version).cloned()
    }

    /// Remembers a version's list.
    pub(crate) fn keep(&self, version: &str, list: Arc<Vec<Parameter>>) {
        self.lock().insert(version.to_owned(), list);
    }
}
