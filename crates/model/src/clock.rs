//! The only sources of time and chance, so that tests can hold both.
//!
//! Keys and nonces never come from here: they come from the operating system, in the rooms
//! that seal (see `vault::seal` and `kms`).
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment and a duration later; saturates at the end of time.
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This moment and a duration earlier; saturates.
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero when it was not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whether `earlier` was less than `duration` ago. A moment that lies ahead was not: the clock
    /// that told it has been set back.
    pub fn is_within(self, duration: Duration, earlier: Self) -> bool {
        earlier <= self && self.since(earlier) < duration
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    fn calendar(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    /// `2024-01-02T03:04:05.678000Z`, as RDS writes moments in XML.
    pub fn to_rfc3339_micros(self) -> String {
        self.calendar()
            .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
            .to_string()
    }

    /// `2024-01-02T03:04:05Z`.
    pub fn to_rfc3339_secs(self) -> String {
        self.calendar().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `2024-01-02-03-04`, as RDS ends the names of automated snapshots.
    pub fn to_dashes(self) -> String {
        self.calendar().strftime("%Y-%m-%d-%H-%M").to_string()
    }

    /// Reads ISO 8601 with or without seconds and fraction, with an offset or `Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let moment: jiff::Timestamp = text.parse().ok()?;
        Some(Self(moment.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339_micros())
    }
}

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// Draws identifiers. Never a key, never a nonce.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Sixteen bytes that no one has drawn before.
    fn draw(&self) -> [u8; 16];

    /// A random (version 4) UUID.
    fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.draw()).into_uuid()
    }
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is what is handed in")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is what is handed in")]
    fn draw(&self) -> [u8; 16] {
        // A version 4 UUID fixes six of its bits; two of them give sixteen free bytes.
        let (low, high) = (Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes());
        std::array::from_fn(|i| low[i].rotate_left(4) ^ high[15 - i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_what_they_write() {
        let moment = Timestamp(1_704_164_645_678_000);
        assert_eq!(moment.to_rfc3339_micros(), "2024-01-02T03:04:05.678000Z");
        assert_eq!(moment.to_rfc3339_secs(), "2024-01-02T03:04:05Z");
        assert_eq!(Timestamp::parse("2024-01-02T03:04:05.678Z"), Some(moment));
        assert_eq!(
            Timestamp::parse("2009-07-08T18:00Z"),
            Timestamp::parse("2009-07-08T18:00:00Z")
        );
        assert!(Timestamp::parse("2009-07-08T18:00Z").is_some());
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(
            Timestamp(i64::MAX).plus(Duration::from_secs(1)),
            Timestamp(i64::MAX)
        );
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
