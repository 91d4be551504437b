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
use uuid::Uuid;

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
    /// The process that looked: what another has lived through since its own last look, this one may
    /// have counted already. None: an older build looked.
    by: Option<Uuid>,
}

impl Seen {
    fn first(now: Timestamp, by: Option<Uuid>) -> Self {
        Self {
            at: now,
            doubt: Duration::ZERO,
            lived: now,
            by,
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
            by: words.next().and_then(|word| word.parse().ok()),
        })
    }

    fn text(self) -> String {
        let (at, doubt, lived) = (self.at.0, self.doubt.as_secs(), self.lived.0);
        match self.by {
            Some(by) => format!("{at} {doubt} {lived} {by}"),
            None => format!("{at} {doubt} {lived}"),
        }
    }

    /// The next look, by a process that looked last `lived` ago, by a clock that nobody sets. That
    /// counts only if nobody else looked meanwhile: days count once, however many lived through them.
    fn next(self, now: Timestamp, (by, lived): (Uuid, Duration)) -> Self {
        let lived = match self.by == Some(by) {
            true => lived,
            false => Duration::ZERO,
        };
        let jumped = now.since(self.at).saturating_sub(lived);
        let doubt = self.doubt.saturating_sub(lived);
        Self {
            at: now,
            doubt: match jumped <= SLACK {
                true => doubt,
                false => doubt.max(jumped.min(DOUBT_MAX)),
            },
            lived: self.lived.plus(lived),
            by: Some(by),
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
    look_at(context, Instant::now()).await
}

async fn look_at(context: &ServiceContext, at: Instant) -> Result<Look, CatalogError> {
    if context.settings.mode == Mode::Dev {
        return Ok(Look {
            is_believed: true,
            lived: context.now(),
        });
    }
    let mine = context.lived_since_last(at);
    let (before, seen) = context
        .catalog
        .write(move |tx| {
            let now = tx.now();
            let before = seen(tx)?;
            let seen = before.map_or(Seen::first(now, Some(mine.0)), |before| {
                before.next(now, mine)
            });
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
    let first = Seen::first(tx.now(), None);
    meta::set(tx, meta::CLOCK, &first.text())?;
    Ok(first.lived)
}

#[cfg(test)]
mod tests {
    use model::Clock as _;

    use super::*;
    use crate::sweep::{checker::fixture::Fixture, month};

    const HOUR: Duration = Duration::from_secs(3_600);
    const ONE: Uuid = Uuid::from_u128(1);

    #[test]
    fn a_jump_is_doubted_until_it_was_lived_through() {
        let start = Seen {
            at: Timestamp(1_700_000_000_000_000),
            doubt: Duration::ZERO,
            lived: Timestamp(7),
            by: Some(ONE),
        };
        let usual = start.next(start.at.plus(HOUR), (ONE, HOUR));
        assert_eq!(usual.doubt, Duration::ZERO);
        assert_eq!(usual.lived, Timestamp(7).plus(HOUR));
        let off = start.next(start.at.plus(3 * HOUR), (ONE, Duration::ZERO));
        assert_eq!(off.doubt, 3 * HOUR);
        let mut far = start.next(start.at.plus(24 * 365 * HOUR), (ONE, HOUR));
        assert_eq!(far.doubt, DOUBT_MAX);
        // However far the clock goes, no more than an hour was lived through.
        assert_eq!(far.lived, Timestamp(7).plus(HOUR));
        for lived in 1..=24 {
            assert!(!far.doubt.is_zero(), "{lived}");
            far = far.next(far.at.plus(HOUR), (ONE, HOUR));
        }
        assert!(far.doubt.is_zero());
        // Back where it was: nothing is due there, and the way ahead is a jump again.
        let back = far.next(start.at, (ONE, HOUR));
        assert_eq!(back.doubt, Duration::ZERO);
        assert_eq!(back.next(far.at, (ONE, HOUR)).doubt, DOUBT_MAX);
    }

    #[test]
    fn what_is_remembered_reads_back() {
        for by in [None, Some(ONE)] {
            let seen = Seen {
                at: Timestamp(-5),
                doubt: HOUR,
                lived: Timestamp(6),
                by,
            };
            assert_eq!(Seen::parse(&seen.text()), Some(seen));
        }
        let older = Seen::parse("-5 3600").map(|seen| seen.lived);
        assert_eq!(older, Some(Timestamp(-5)));
        assert_eq!(Seen::parse("x 1"), None);
    }

    /// Two servers lead in turns: what both lived through counts once.
    #[test]
    fn a_leader_that_returns_counts_no_time_twice() {
        let fixture = Fixture::new();
        let [one, other] = [(); 2].map(|()| {
            let mut context = month::context(&fixture);
            context.settings.mode = Mode::Closed;
            context
        });
        let begin = (fixture.clock.now(), Instant::now());
        let look = |context: &ServiceContext, hours: u32| {
            fixture.clock.set(begin.0.plus(HOUR * hours));
            let looked = look_at(context, begin.1 + HOUR * hours);
            let looked = fixture.runtime.block_on(looked).expect("it looks");
            looked.lived.since(begin.0).as_secs() / 3_600
        };
        assert_eq!(look(&one, 0), 0);
        assert_eq!(look(&one, 1), 1);
        // The other one leads from now on, and the first one lives on beside it.
        assert_eq!(look(&other, 2), 1);
        assert_eq!(look(&other, 10), 9);
        assert_eq!(look(&one, 11), 9, "ten hours of it were counted");
        assert_eq!(look(&one, 12), 10);
        // Both at once, as when one was frozen: none of them counts.
        assert_eq!(look(&other, 13), 10);
        assert_eq!(look(&one, 14), 10);
        assert_eq!(look(&one, 15), 11);
    }
}
