//! How far a job is: counters that the work raises and the heartbeat records.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use model::job::Progress;
use vault::Observer;

/// The counters of one try. What was shipped goes on from the tries before.
#[derive(Debug, Default)]
pub struct JobProgress {
    total: AtomicU64,
    done: AtomicU64,
    shipped_bytes: AtomicU64,
    shipped_objects: AtomicU64,
    held: AtomicU64,
    stop: AtomicBool,
}

impl JobProgress {
    /// Goes on from what the tries before recorded.
    pub fn after(before: &Progress) -> Self {
        Self {
            shipped_bytes: before.bytes_shipped.into(),
            shipped_objects: before.objects_shipped.into(),
            ..Self::default()
        }
    }

    /// The counters as they stand.
    pub fn progress(&self) -> Progress {
        let (total, done) = (self.total.load(Relaxed), self.done.load(Relaxed));
        Progress {
            // The total is what was known beforehand: files may have grown since.
            bytes_total: if total == 0 { 0 } else { total.max(done) },
            bytes_done: done,
            bytes_shipped: self.shipped_bytes.load(Relaxed),
            objects_shipped: self.shipped_objects.load(Relaxed),
            bytes_held: self.held.load(Relaxed),
        }
    }

    /// There are so many bytes to do, of which earlier tries did so many.
    pub fn begin(&self, total: u64, done: u64) {
        self.total.store(total, Relaxed);
        self.done.store(done, Relaxed);
    }

    /// Whether the work is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Asks the work to end at its next step.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }
}

/// Counts what a part of the work does, and leaves the whole work's total alone.
#[derive(Debug)]
pub struct Counting<'a>(pub &'a JobProgress);

impl Observer for Counting<'_> {
    fn total(&self, _bytes: u64) {}
    fn done(&self, bytes: u64) {
        self.0.done(bytes);
    }
    fn shipped(&self, _bytes: u64, _objects: u64) {}
    fn held(&self, _bytes: u64) {}
    fn stop_requested(&self) -> bool {
        self.0.stop_requested()
    }
}

impl Observer for JobProgress {
    fn total(&self, bytes: u64) {
        self.total.store(bytes, Relaxed);
    }
    fn done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
    }
    fn shipped(&self, bytes: u64, objects: u64) {
        self.shipped_bytes.fetch_add(bytes, Relaxed);
        self.shipped_objects.fetch_add(objects, Relaxed);
    }
    fn held(&self, bytes: u64) {
        self.held.fetch_add(bytes, Relaxed);
        self.done.fetch_add(bytes, Relaxed);
    }
    fn stop_requested(&self) -> bool {
        self.stop.load(Relaxed)
    }
}
