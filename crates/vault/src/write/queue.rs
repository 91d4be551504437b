//! Work for the threads that write a snapshot: bounded, and ended by the first failure.
//!
//! It does not know what the work is.
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard},
};

use crate::error::VaultError;

#[derive(Debug)]
struct State<T> {
    tasks: VecDeque<T>,
    running: usize,
    /// No more tasks will come.
    closed: bool,
    failed: bool,
    failure: Option<VaultError>,
}

/// A bounded queue with many takers.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            state: Mutex::new(State {
                tasks: VecDeque::new(),
                running: 0,
                closed: false,
                failed: false,
                failure: None,
            }),
            changed: Condvar::new(),
            most,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds a task, once there is room.
    ///
    /// # Errors
    /// The first failure of a taker; [`VaultError::Spent`] after it was told.
    pub(crate) fn put(&self, task: T) -> Result<(), VaultError> {
        let full = |state: &mut State<T>| self.most <= state.tasks.len() && !state.failed;
        let waited = self.changed.wait_while(self.state(), full);
        let mut state = waited.unwrap_or_else(|e| e.into_inner());
        if state.failed {
            return Err(state.failure.take().unwrap_or(VaultError::Spent));
        }
        state.tasks.push_back(task);
        self.changed.notify_all();
        Ok(())
    }

    /// Takes the next task; none when no more will come.
    pub(crate) fn take(&self) -> Option<T> {
        let idle = |state: &mut State<T>| state.tasks.is_empty() && !state.closed && !state.failed;
        let waited = self.changed.wait_while(self.state(), idle);
        let mut state = waited.unwrap_or_else(|e| e.into_inner());
        if state.failed {
            return None;
        }
        let task = state.tasks.pop_front()?;
        state.running += 1;
        self.changed.notify_all();
        Some(task)
    }

    /// Says that a task that was taken has ended.
    pub(crate) fn ended(&self) {
        self.state().running -= 1;
        self.changed.notify_all();
    }

    /// Ends everything: tasks that wait are dropped.
    pub(crate) fn fail(&self, error: VaultError) {
        let mut state = self.state();
        state.failed = true;
        state.failure.get_or_insert(error);
        state.tasks.clear();
        self.changed.notify_all();
    }

    /// Whether something failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Waits until every task has ended.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(crate) fn settle(&self) -> Result<(), VaultError> {
        let busy =
            |state: &mut State<T>| !state.failed && (0 < state.running || !state.tasks.is_empty());
        let waited = self.changed.wait_while(self.state(), busy);
        let mut state = waited.unwrap_or_else(|e| e.into_inner());
        if state.failed {
            return Err(state.failure.take().unwrap_or(VaultError::Spent));
        }
        Ok(())
    }

    /// Says that no more tasks will come.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn every_task_is_taken_once_and_settling_waits_for_all() {
        let (queue, sum) = (Queue::new(2), AtomicU32::new(0));
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    while let Some(task) = queue.take() {
                        sum.fetch_add(task, Ordering::SeqCst);
                        queue.ended();
                    }
                });
            }
            for task in 1..=100 {
                queue.put(task).expect("nothing failed");
            }
            queue.settle().expect("nothing failed");
            assert_eq!(sum.load(Ordering::SeqCst), 5050);
            queue.close();
        });
    }

    #[test]
    fn a_failure_is_told_once_and_ends_the_takers() {
        let queue = Queue::new(1);
        queue.put(1).expect("room");
        std::thread::scope(|threads| {
            threads.spawn(|| {
                queue.take();
                queue.fail(VaultError::Stopped);
                queue.ended();
            });
            assert!(matches!(queue.settle(), Err(VaultError::Stopped)));
        });
        assert!(matches!(queue.put(2), Err(VaultError::Spent)));
        assert!(queue.take().is_none());
    }
}
