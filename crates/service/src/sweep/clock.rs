//! Whether the clock is believed for what cannot be undone: a key whose waiting period is over is
//! deleted for good, and a clock that jumped ahead says that of keys whose period has just begun.
//!
//! A server that was off sees the same jump. So the time that nobody lived through is lived through
//! first, a day of it at most, before anything is deleted by its date. That is later than was
//! promised, never earlier; AWS takes up to a day longer, too.
use std::time::Duration;

use catalog::{CatalogError, CatalogExt, meta};
use model::Timestamp;
use tokio::time::Instant;

use crate::{Mode, context::ServiceContext};

/// Clocks are set right by less than this now and then, and looks are late.
const SLACK: Duration = Duration::from_secs(600);
/// The longest that the clock is doubted.
const DOUBT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How the clock stands, as the catalog remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// What it said last.
    at: Timestamp,
    /// How long it is still doubted.
    doubt: Duration,
}

impl Seen {
    fn parse(text: &str) -> Option<Self> {
        let (at, doubt) = text.split_once(' ')?;
        Some(Self {
            at: Timestamp(at.parse().ok()?),
            doubt: Duration::from_secs(doubt.parse().ok()?),
        })
    }

    fn text(self) -> String {
        format!("{} {}", self.at.0, self.doubt.as_secs())
    }

    /// The next look, `lived` after this one by a clock that nobody sets.
    fn next(self, now: Timestamp, lived: Duration) -> Self {
        let jumped = now.since(self.at).saturating_sub(lived);
        let doubt = self.doubt.saturating_sub(lived);
        Self {
            at: now,
            doubt: match jumped <= SLACK {
                true => doubt,
                false => doubt.max(jumped.min(DOUBT_MAX)),
            },
        }
    }
}

/// This process's looks at the clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    looked: Option<Instant>,
}

impl Clock {
    /// Looks at the catalog's clock; answers whether it is believed.
    ///
    /// # Errors
    /// The catalog's.
    pub(super) async fn is_believed(
        &mut self,
        context: &ServiceContext,
    ) -> Result<bool, CatalogError> {
        if context.settings.mode == Mode::Dev {
            return Ok(true);
        }
        let looked = Instant::now();
        let lived = self
            .looked
            .map_or(Duration::ZERO, |before| looked.duration_since(before));
        let (before, seen) = context
            .catalog
            .write(move |tx| {
                let now = tx.now();
                let before = meta::get(tx, meta::CLOCK)?.and_then(|text| Seen::parse(&text));
                let first = Seen {
                    at: now,
                    doubt: Duration::ZERO,
                };
                let seen = before.map_or(first, |before| before.next(now, lived));
                meta::set(tx, meta::CLOCK, &seen.text())?;
                Ok::<_, CatalogError>((before, seen))
            })
            .await?;
        self.looked = Some(looked);
        if let Some(before) = before
            && before.doubt < seen.doubt
        {
            tracing::warn!(
                last = %before.at, now = %seen.at, hours = seen.doubt.as_secs() / 3_600,
                "the clock went ahead while no server ran, or jumped: keys and old rows are not deleted by their dates before that time was lived through"
            );
        }
        Ok(seen.doubt.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_jump_is_doubted_until_it_was_lived_through() {
        let start = Seen {
            at: Timestamp(1_700_000_000_000_000),
            doubt: Duration::ZERO,
        };
        let usual = start.next(start.at.plus(HOUR), HOUR);
        assert_eq!(usual.doubt, Duration::ZERO);
        let off = start.next(start.at.plus(3 * HOUR), Duration::ZERO);
        assert_eq!(off.doubt, 3 * HOUR);
        let mut far = start.next(start.at.plus(24 * 365 * HOUR), HOUR);
        assert_eq!(far.doubt, DOUBT_MAX);
        for lived in 1..=24 {
            assert!(!far.doubt.is_zero(), "{lived}");
            far = far.next(far.at.plus(HOUR), HOUR);
        }
        assert!(far.doubt.is_zero());
        // Back where it was: nothing is due there, and the way ahead is a jump again.
        let back = far.next(start.at, HOUR);
        assert_eq!(back.doubt, Duration::ZERO);
        assert_eq!(back.next(far.at, HOUR).doubt, DOUBT_MAX);
    }

    #[test]
    fn what_is_remembered_reads_back() {
        let seen = Seen {
            at: Timestamp(-5),
            doubt: HOUR,
        };
        assert_eq!(Seen::parse(&seen.text()), Some(seen));
        assert_eq!(Seen::parse("x 1"), None);
    }
}
