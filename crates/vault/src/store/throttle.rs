//! A limit on bytes per second, shared by all that flows into one region.
//!
//! It does not know what flows.
use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::{error::VaultError, observer::Observer};

/// How long a wait for the limit may last before the observer is asked again.
const POLL: Duration = Duration::from_millis(100);
/// Below this limit, bytes a second, one stream is as fast as several, and objects then arrive
/// one after another: more of them are whole when a copy ends early.
const SLOW: u64 = 64 << 20;

/// Lets through so many bytes a second, over all that share it. Time that nobody used is lost:
/// there is no burst after a pause.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: u64,
    /// When the next byte may pass.
    free_at: Mutex<Instant>,
}

impl Throttle {
    /// At least one byte a second.
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// The limit.
    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Whether one stream is as fast as several.
    pub(crate) fn is_slow(&self) -> bool {
        self.bytes_per_second < SLOW
    }

    /// Bytes to ask for at once so that the flow is smooth: an eighth of a second's, within
    /// `1 KiB..=most`.
    pub(crate) fn chunk_bytes(&self, most: usize) -> usize {
        usize::try_from(self.bytes_per_second / 8)
            .unwrap_or(usize::MAX)
            .max(1 << 10)
            .min(most)
    }

    /// Bytes to ask for in one request so that it lasts about a second, within `1 KiB..=most`: a
    /// request that lasts longer is taken for a broken one.
    pub(crate) fn request_bytes(&self, most: u64) -> u64 {
        self.bytes_per_second.max(1 << 10).min(most)
    }

    /// Waits until so many bytes may have passed.
    ///
    /// # Errors
    /// [`VaultError::Stopped`] when the observer asks for it meanwhile.
    pub(crate) async fn pass(
        &self,
        bytes: usize,
        observer: &dyn Observer,
    ) -> Result<(), VaultError> {
        let nanos = (bytes as u128) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let took = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(|e| e.into_inner());
            *free_at = (*free_at).max(Instant::now()) + took;
            *free_at
        };
        loop {
            if observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            let now = Instant::now();
            if until <= now {
                return Ok(());
            }
            tokio::time::sleep_until(until.min(now + POLL)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Unobserved;

    #[tokio::test]
    async fn several_share_one_limit() {
        let throttle = Throttle::new(1_000_000);
        let begun = Instant::now();
        let flow = async || {
            for _ in 0..10 {
                throttle.pass(10_000, &Unobserved).await.unwrap();
            }
        };
        tokio::join!(flow(), flow(), flow());
        let took = begun.elapsed();
        assert!(Duration::from_millis(295) < took, "{took:?}");
    }

    #[tokio::test]
    async fn a_stop_is_heard_while_waiting() {
        struct Stop(Instant);
        impl Observer for Stop {
            fn total(&self, _: u64) {}
            fn done(&self, _: u64) {}
            fn shipped(&self, _: u64, _: u64) {}
            fn held(&self, _: u64) {}
            fn stop_requested(&self) -> bool {
                self.0 <= Instant::now()
            }
        }
        // The limit alone would make it wait for eleven days.
        let stop = Stop(Instant::now() + Duration::from_millis(50));
        let ended = Throttle::new(1).pass(1_000_000, &stop).await;
        assert!(matches!(ended, Err(VaultError::Stopped)));
    }

    #[test]
    fn chunks_are_small_when_the_limit_is() {
        assert_eq!(Throttle::new(0).chunk_bytes(1 << 18), 1 << 10);
        assert_eq!(Throttle::new(1 << 20).chunk_bytes(1 << 18), 1 << 17);
        assert_eq!(Throttle::new(u64::MAX).chunk_bytes(1 << 18), 1 << 18);
        assert_eq!(Throttle::new(0).request_bytes(1 << 22), 1 << 10);
        assert_eq!(Throttle::new(u64::MAX).request_bytes(1 << 22), 1 << 22);
    }
}
