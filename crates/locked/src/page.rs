//! A page that is locked while it is there, and wiped before it goes to anyone else.
//!
//! It does not know what lies on it.
use std::sync::{Mutex, PoisonError};

use region::LockGuard;
use zeroize::Zeroize;

/// The least that a lock covers. On machines with larger pages the neighbours are locked too.
pub(crate) const PAGE_BYTES: usize = 4 << 10;
/// Pages that wait for their next secret: as many as jobs and requests commonly hold at once.
const WAITING_MAX: usize = 64;

/// Locking costs two calls of the system, and most secrets stay for a request: pages are used again.
static WAITING: Mutex<Vec<LockedPage>> = Mutex::new(Vec::new());

#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

pub(crate) struct LockedPage {
    // Dropped first: the page is unlocked while it is still ours, and after it was wiped.
    lock: Option<LockGuard>,
    page: Box<Page>,
}

impl LockedPage {
    pub(crate) fn new() -> Self {
        let page = Box::new(Page([0; PAGE_BYTES]));
        let lock = region::lock(page.0.as_ptr(), PAGE_BYTES).ok();
        Self { lock, page }
    }

    /// One that waits, else a new one. All of it is zero.
    pub(crate) fn take() -> Self {
        let waiting = waiting().pop();
        waiting.unwrap_or_else(Self::new)
    }

    /// Wipes it and lets it wait for the next secret.
    pub(crate) fn give_back(mut self) {
        self.page.0.zeroize();
        let mut waiting = waiting();
        if self.is_locked() && waiting.len() < WAITING_MAX {
            waiting.push(self);
        }
    }

    /// Whether the system keeps it out of swap.
    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    pub(crate) fn bytes(&self) -> &[u8; PAGE_BYTES] {
        &self.page.0
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; PAGE_BYTES] {
        &mut self.page.0
    }
}

impl Drop for LockedPage {
    fn drop(&mut self) {
        self.page.0.zeroize();
    }
}

fn waiting() -> std::sync::MutexGuard<'static, Vec<LockedPage>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
