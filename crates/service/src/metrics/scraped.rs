//! What scrapes read, and when they read it last.
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync;

/// What was read is good for so long.
const FRESH: Duration = Duration::from_secs(1);
/// Reading takes at most one part in so many of the time.
const REST: u32 = 20;
/// One that took long, on a busy machine, is not waited for longer than this.
const REST_MAX: Duration = Duration::from_secs(15);

/// When the catalog was read last.
#[derive(Debug, Default)]
pub(crate) struct Scraped {
    /// Sums over the whole catalog; held by whoever reads them.
    pub(super) sums: sync::Mutex<Option<Instant>>,
    each: Mutex<Each>,
}

/// What is told of each cluster.
#[derive(Debug, Default)]
struct Each {
    read_at: Option<Instant>,
    took: Duration,
    is_read: bool,
    text: Arc<str>,
}

impl Scraped {
    /// Whether sums that were read then are still good.
    pub(super) fn is_fresh(read_at: Option<Instant>) -> bool {
        read_at.is_some_and(|at| at.elapsed() < FRESH)
    }

    fn each(&self) -> MutexGuard<'_, Each> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether clusters are to be read now, which the caller then does; and whether they were before.
    pub(super) fn begin_each(&self) -> (bool, bool) {
        let mut each = self.each();
        let rest = each.took.saturating_mul(REST).clamp(FRESH, REST_MAX);
        let is_due = !each.is_read && each.read_at.is_none_or(|at| rest <= at.elapsed());
        each.is_read |= is_due;
        (is_due, each.read_at.is_some())
    }

    /// Ends what [`Self::begin_each`] began; without a text what was known stays.
    pub(super) fn end_each(&self, begun: Instant, text: Option<String>) {
        let mut each = self.each();
        each.is_read = false;
        each.took = begun.elapsed();
        each.read_at = Some(Instant::now());
        if let Some(text) = text {
            each.text = text.into();
        }
    }

    /// What is told of each cluster.
    pub(crate) fn named(&self) -> Arc<str> {
        Arc::clone(&self.each().text)
    }
}
