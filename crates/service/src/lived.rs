//! Whether the clock is believed for what cannot be undone, and how much time was lived through.
//!
//! A key whose waiting period is over is deleted for good, and a clock that jumped ahead says that of
//! keys whose period has just begun. A server that was off sees the same jump. So the time that nobody
//! lived through is lived through first, a day of it at most, before anything is deleted by its date.
//! That is later than was promised, never earlier; AWS takes up to a day longer, too.
//!
//! What a locked vault keeps is not the clock's to end at all: its days are counted while a server
//! runs, by a clock that nobody sets, from when the recovery point was whole. Time without a server
//! lengthens them.
use std::time::Duration;

use catalog::{CatalogError, CatalogExt, Tx, meta};
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
    /// How much time servers have lived through, as a moment: it began as the clock's first word.
    lived: Timestamp,
}

impl Seen {
    fn first(now: Timestamp) -> Self {
        Self {
            at: now,
            doubt: Duration::ZERO,
            lived: now,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let at = Timestamp(words.next()?.parse().ok()?);
        let doubt = Duration::from_secs(words.next()?.parse().ok()?);
        // Older builds kept no more.
        let lived = words.next().map_or(Ok(at.0), str::parse).ok()?;
        Some(Self {
            at,
            doubt,
            lived: Timestamp(lived),
        })
    }

    fn text(self) -> String {
        format!("{} {} {}", self.at.0, self.doubt.as_secs(), self.lived.0)
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
            lived: self.lived.plus(lived),
        }
    }
}

/// What a look at the clock finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Whether the clock is believed.
    pub(crate) is_believed: bool,
    /// How much time was lived through, as a moment.
    pub(crate) lived: Timestamp,
}

/// Looks at the catalog's clock, and writes down what this process has lived through since it looked
/// last. With `--dev` the clock is believed, whatever it says.
///
/// # Errors
/// The catalog's.
pub(crate) async fn look(context: &ServiceContext) -> Result<Look, CatalogError> {
    if context.settings.mode == Mode::Dev {
        return Ok(Look {
            is_believed: true,
            lived: context.now(),
        });
    }
    let lived = context.lived_since_last(Instant::now());
    let (before, seen) = context
        .catalog
        .write(move |tx| {
            let now = tx.now();
            let before = seen(tx)?;
            let seen = before.map_or(Seen::first(now), |before| before.next(now, lived));
            meta::set(tx, meta::CLOCK, &seen.text())?;
            Ok::<_, CatalogError>((before, seen))
        })
        .await?;
    if let Some(before) = before
        && before.doubt < seen.doubt
    {
        tracing::warn!(
            last = %before.at, now = %seen.at, hours = seen.doubt.as_secs() / 3_600,
            "the clock went ahead while no server ran, or jumped: keys and old rows are not deleted by their dates before that time was lived through"
        );
    }
    Ok(Look {
        is_believed: seen.doubt.is_zero(),
        lived: seen.lived,
    })
}

fn seen(tx: &mut dyn Tx) -> Result<Option<Seen>, CatalogError> {
    Ok(meta::get(tx, meta::CLOCK)?.and_then(|text| Seen::parse(&text)))
}

/// How much time was lived through by the last look, as a moment. It is counted from now on when nobody
/// has looked yet: what is made before the first look would have nothing to count from but the clock.
///
/// # Errors
/// The catalog's.
pub(crate) fn so_far(tx: &mut dyn Tx) -> Result<Timestamp, CatalogError> {
    if let Some(seen) = seen(tx)? {
        return Ok(seen.lived);
    }
    let first = Seen::first(tx.now());
    meta::set(tx, meta::CLOCK, &first.text())?;
    Ok(first.lived)
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
            lived: Timestamp(7),
        };
        let usual = start.next(start.at.plus(HOUR), HOUR);
        assert_eq!(usual.doubt, Duration::ZERO);
        assert_eq!(usual.lived, Timestamp(7).plus(HOUR));
        let off = start.next(start.at.plus(3 * HOUR), Duration::ZERO);
        assert_eq!(off.doubt, 3 * HOUR);
        let mut far = start.next(start.at.plus(24 * 365 * HOUR), HOUR);
        assert_eq!(far.doubt, DOUBT_MAX);
        // However far the clock goes, no more than an hour was lived through.
        assert_eq!(far.lived, Timestamp(7).plus(HOUR));
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
            lived: Timestamp(6),
        };
        assert_eq!(Seen::parse(&seen.text()), Some(seen));
        let older = Seen::parse("-5 3600").map(|seen| seen.lived);
        assert_eq!(older, Some(Timestamp(-5)));
        assert_eq!(Seen::parse("x 1"), None);
    }
}
