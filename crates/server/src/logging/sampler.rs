//! Which events are told when many of a kind come: the first few of an interval, then how many more.
//!
//! Lines that anyone can cause, without a key even, must not fill a disk. It does not know what the
//! events say: a kind is a place in the program, and a fault's code with it.
use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::line::Cut;

/// How long an interval is.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// The span of a request.
const REQUEST: &str = "request";
/// Lines of one kind in a request's span, in an interval.
const REQUEST_LINES_MAX: u32 = 20;
/// Lines of any other kind in an interval.
const LINES_MAX: u32 = 200;
/// Kinds that are told apart; those beyond share what their place in the program has. There are some
/// hundred places and as many faults.
const KINDS_MAX: usize = 1_024;
/// What is remembered of a kind's fault and of its first message, bytes.
const TEXT_BYTES_MAX: usize = 80;

/// A place in the program, and the fault that it tells of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    place: Identifier,
    fault: String,
}

#[derive(Debug)]
struct Seen {
    begun: Duration,
    told: u32,
    left_out: u64,
    target: &'static str,
    message: String,
}

/// Lines of a kind that were not told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) target: &'static str,
    pub(crate) message: String,
    pub(crate) fault: String,
    pub(crate) lines: u64,
}

/// Decides event by event, and counts what it leaves out.
#[derive(Debug)]
pub(crate) struct Sampler {
    started: Instant,
    kinds: Mutex<HashMap<Kind, Seen>>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            kinds: Mutex::default(),
        }
    }
}

impl Sampler {
    /// What was left out since it was asked last.
    pub(crate) fn left_out(&self) -> Vec<LeftOut> {
        let mut kinds = self.lock();
        let told = kinds.iter_mut().filter(|(_, seen)| 0 < seen.left_out);
        let left_out = told.map(|(kind, seen)| LeftOut {
            target: seen.target,
            message: seen.message.clone(),
            fault: kind.fault.clone(),
            lines: std::mem::take(&mut seen.left_out),
        });
        left_out.collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Seen>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an event is told that comes `now` after the start.
    fn admit(
        &self,
        place: &'static Metadata<'static>,
        fault: String,
        lines_max: u32,
        now: Duration,
        message: impl FnOnce() -> String,
    ) -> bool {
        let mut kind = Kind {
            place: place.callsite(),
            fault,
        };
        let mut kinds = self.lock();
        if KINDS_MAX <= kinds.len() && !kinds.contains_key(&kind) {
            kind.fault.clear();
        }
        let seen = kinds.entry(kind).or_insert_with(|| Seen {
            begun: now,
            told: 0,
            left_out: 0,
            target: place.target(),
            message: message(),
        });
        if INTERVAL <= now.saturating_sub(seen.begun) {
            (seen.begun, seen.told) = (now, 0);
        }
        if seen.told < lines_max {
            seen.told += 1;
            return true;
        }
        seen.left_out += 1;
        false
    }
}

/// The text of one field of an event.
struct Text {
    of: &'static str,
    text: Cut,
}

impl Text {
    fn of(event: &Event<'_>, of: &'static str) -> String {
        let text = Cut::at(TEXT_BYTES_MAX);
        let mut visitor = Self { of, text };
        event.record(&mut visitor);
        visitor.text.into_text()
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == self.of {
            self.text.fill(format_args!("{value:?}"));
        }
    }
}

/// The sampler's place among the layers.
pub(super) struct Sampling(pub(super) Arc<Sampler>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Sampling {
    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // Who asks for more than the usual wants to see all of it.
        if Level::INFO < *metadata.level() {
            return true;
        }
        let fault = match metadata.fields().field("fault") {
            Some(_) => Text::of(event, "fault"),
            None => String::new(),
        };
        let mut spans = context.event_scope(event).into_iter().flatten();
        let lines_max = match spans.any(|span| span.name() == REQUEST) {
            true => REQUEST_LINES_MAX,
            false => LINES_MAX,
        };
        let now = self.0.started.elapsed();
        let message = || Text::of(event, "message");
        self.0.admit(metadata, fault, lines_max, now, message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Counts the events that come through.
    #[derive(Clone, Default)]
    struct Through(Arc<Mutex<u64>>);

    impl<S: Subscriber> Layer<S> for Through {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().expect("whole") += 1;
        }
    }

    /// How many events came through, and what the sampler left out.
    fn sampled(work: impl FnOnce()) -> (u64, Vec<LeftOut>) {
        let (sampler, through) = (Arc::new(Sampler::default()), Through::default());
        let layers = tracing_subscriber::registry()
            .with(Sampling(Arc::clone(&sampler)))
            .with(through.clone());
        tracing::subscriber::with_default(layers, work);
        let count = *through.0.lock().expect("whole");
        (count, sampler.left_out())
    }

    #[test]
    fn the_first_of_a_kind_are_told_and_the_others_counted() {
        let (told, left_out) = sampled(|| {
            for number in 0..1_000 {
                tracing::info_span!("request", number).in_scope(|| {
                    tracing::info!(fault = "AccessDenied", "refused");
                });
            }
        });
        assert_eq!(told, u64::from(REQUEST_LINES_MAX));
        assert_eq!(
            left_out,
            [LeftOut {
                target: module_path!(),
                message: "refused".to_owned(),
                fault: "AccessDenied".to_owned(),
                lines: 1_000 - u64::from(REQUEST_LINES_MAX),
            }]
        );
    }

    #[test]
    fn each_kind_has_lines_of_its_own_and_invented_kinds_share() {
        let kinds = 10 * KINDS_MAX;
        let (told, left_out) = sampled(|| {
            for number in 0..kinds {
                tracing::info_span!("request").in_scope(|| {
                    tracing::info!(fault = %format!("Fault{number}"), "refused");
                });
            }
            tracing::info!("something else");
        });
        let shared = u64::from(REQUEST_LINES_MAX);
        assert!(told <= KINDS_MAX as u64 + shared + 1, "{told}");
        let lines: u64 = left_out.iter().map(|left| left.lines).sum();
        assert_eq!(told + lines, kinds as u64 + 1);
    }

    #[test]
    fn debugging_leaves_nothing_out() {
        let (told, left_out) = sampled(|| {
            for _ in 0..1_000 {
                tracing::debug!("answered");
            }
        });
        assert_eq!((told, left_out), (1_000, Vec::new()));
    }

    /// Any metadata will do: that of an event of this module.
    fn some_place() -> &'static Metadata<'static> {
        #[derive(Clone, Default)]
        struct Place(Arc<Mutex<Option<&'static Metadata<'static>>>>);
        impl<S: Subscriber> Layer<S> for Place {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                *self.0.lock().expect("whole") = Some(event.metadata());
            }
        }
        let place = Place::default();
        let layers = tracing_subscriber::registry().with(place.clone());
        tracing::subscriber::with_default(layers, || tracing::info!("x"));
        let found = *place.0.lock().expect("whole");
        found.expect("an event")
    }

    proptest! {
        #[test]
        fn no_interval_tells_more_than_its_lines(gaps_ms in proptest::collection::vec(0..2_000_u64, 1..400)) {
            let (sampler, place) = (Sampler::default(), some_place());
            let (mut now, mut begun, mut told, mut all) = (Duration::ZERO, Duration::ZERO, 0, 0);
            for (number, gap) in gaps_ms.iter().enumerate() {
                now += Duration::from_millis(*gap);
                if number == 0 || INTERVAL <= now - begun {
                    (begun, told) = (now, 0);
                }
                if sampler.admit(place, String::new(), REQUEST_LINES_MAX, now, String::new) {
                    told += 1;
                    all += 1;
                }
                prop_assert!(told <= REQUEST_LINES_MAX);
            }
            let left_out: u64 = sampler.left_out().iter().map(|left| left.lines).sum();
            prop_assert_eq!(all + left_out, gaps_ms.len() as u64);
            prop_assert!(sampler.left_out().is_empty());
        }
    }
}
