//! How each background task of this process fares.
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Of an error, so much is kept.
const ERROR_CHARS_MAX: usize = 500;

/// How one task fares. Times are those of the node's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// When it last did all it was to.
    pub last_success: Option<Timestamp>,
    /// When it last failed.
    pub last_failure: Option<Timestamp>,
    /// Why, as long as it has not succeeded since.
    pub error: Option<String>,
    /// When it runs again; none while it runs.
    pub next_due: Option<Timestamp>,
    /// Whether another node runs it.
    pub stands_by: bool,
}

/// All tasks of this process by their names.
#[derive(Debug, Default)]
pub struct Tasks {
    known: Mutex<BTreeMap<String, TaskStatus>>,
    /// A task began to fail, or works again.
    pub(crate) changed: Notify,
}

impl Tasks {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, TaskStatus>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<R>(&self, name: &str, change: impl FnOnce(&mut TaskStatus) -> R) -> R {
        let mut known = self.known();
        match known.get_mut(name) {
            Some(status) => change(status),
            None => change(known.entry(name.to_owned()).or_default()),
        }
    }

    /// A task rests until then.
    pub(crate) fn due(&self, name: &str, at: Timestamp) {
        self.note(name, |status| status.next_due = Some(at));
    }

    /// A task is another node's.
    pub(crate) fn stands_by(&self, name: &str) {
        self.note(name, |status| status.stands_by = true);
    }

    /// A task did what it was to; answers whether it had failed before.
    pub(crate) fn succeeded(&self, name: &str, at: Timestamp) -> bool {
        self.note(name, |status| {
            status.last_success = Some(at);
            (status.next_due, status.stands_by) = (None, false);
            status.error.take().is_some()
        })
    }

    /// A task failed; answers whether that is news.
    pub(crate) fn failed(&self, name: &str, at: Timestamp, why: &str) -> bool {
        self.note(name, |status| {
            status.last_failure = Some(at);
            (status.next_due, status.stands_by) = (None, false);
            let why = why.chars().take(ERROR_CHARS_MAX).collect();
            status.error.replace(why).is_none()
        })
    }

    /// How all fare.
    pub fn all(&self) -> BTreeMap<String, TaskStatus> {
        self.known().clone()
    }
}
