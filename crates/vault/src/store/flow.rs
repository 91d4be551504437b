//! The pace and the progress of one object that is being read.
//!
//! It does not know where the bytes come from.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{error::VaultError, observer::Observer, store::throttle::Throttle};

/// The bytes of one object on their way: what holds them back, and who hears of them. Whatever
/// is read a second time is told only once.
pub(crate) struct Flow<'a> {
    throttle: Option<&'a Arc<Throttle>>,
    observer: &'a dyn Observer,
    arrived: AtomicU64,
    told: AtomicU64,
}

impl<'a> Flow<'a> {
    pub(crate) fn new(throttle: Option<&'a Arc<Throttle>>, observer: &'a dyn Observer) -> Self {
        Self {
            throttle,
            observer,
            arrived: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// The object is read from its beginning.
    pub(crate) fn begin(&self) {
        self.arrived.store(0, Ordering::Relaxed);
    }

    /// So many more bytes arrived.
    ///
    /// # Errors
    /// [`VaultError::Stopped`].
    pub(crate) async fn pass(&self, bytes: usize) -> Result<(), VaultError> {
        if self.observer.stop_requested() {
            return Err(VaultError::Stopped);
        }
        if let Some(throttle) = self.throttle {
            throttle.pass(bytes, self.observer).await?;
        }
        let bytes = bytes as u64;
        let arrived = self.arrived.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let told = self.told.fetch_max(arrived, Ordering::Relaxed);
        self.observer.done(arrived.saturating_sub(told));
        Ok(())
    }
}
