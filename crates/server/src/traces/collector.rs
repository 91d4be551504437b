//! Gathers spans as they end, and keeps them for whoever sends them.
//!
//! It does not know where they go.
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::{Clock, Entropy, SystemClock, SystemEntropy, Timestamp};
use service::trace::{TraceParent, Tracer};
use tokio::sync::Notify;
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use crate::logging::VALUE_BYTES_MAX;

/// Spans that wait to be sent; some 2 MiB.
pub(super) const WAITING_MAX: usize = 4_096;
/// Spans that are under way and kept: more are not collected.
const OPEN_MAX: usize = 16_384;

/// Whether a span is one that is sent.
pub(crate) fn is_traced(of: &Metadata<'_>) -> bool {
    let ours = ["api", "service"]
        .iter()
        .any(|room| of.target().split(':').next() == Some(*room));
    of.is_span() && ours && ["request", "job", "stage"].contains(&of.name())
}

/// A span.
#[derive(Debug, Clone)]
pub(super) struct Traced {
    pub(super) at: TraceParent,
    pub(super) parent: Option<[u8; 8]>,
    /// `request`, `job` or `stage`.
    pub(super) kind: &'static str,
    pub(super) begun: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) failure: Option<String>,
}

#[derive(Default)]
struct Kept {
    open: HashMap<u64, Traced>,
    ended: VecDeque<Traced>,
    /// Ended ones that there was no room for.
    lost: u64,
}

struct Shared {
    kept: Mutex<Kept>,
    ready: Notify,
    clock: SystemClock,
    entropy: SystemEntropy,
}

/// Gathers spans.
#[derive(Clone)]
pub(crate) struct Collector(Arc<Shared>);

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

impl Collector {
    /// One that has none yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            kept: Mutex::default(),
            ready: Notify::new(),
            clock: SystemClock,
            entropy: SystemEntropy,
        }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a span has ended.
    pub(super) async fn ready(&self) {
        self.0.ready.notified().await;
    }

    /// Takes as many spans as one message has, and how many were lost before.
    pub(super) fn take(&self, most: usize) -> (Vec<Traced>, u64) {
        let mut kept = self.kept();
        let count = kept.ended.len().min(most);
        let lost = std::mem::take(&mut kept.lost);
        (kept.ended.drain(..count).collect(), lost)
    }

    /// Puts back what could not be sent, as far as there is room.
    pub(super) fn put_back(&self, spans: Vec<Traced>) {
        let mut kept = self.kept();
        for span in spans.into_iter().rev() {
            match kept.ended.len() < WAITING_MAX {
                true => kept.ended.push_front(span),
                false => kept.lost += 1,
            }
        }
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let drawn = self.0.entropy.uuid();
        // The last bytes of it: those before say of which version it is.
        let (_, last) = drawn.as_bytes().split_at(16 - N);
        last.try_into().unwrap_or([1; N])
    }

    /// A span that begins now, below one that is kept or at the top of a trace of its own.
    fn begin(&self, id: u64, above: Option<u64>, kind: &'static str, fields: Fields) {
        let (trace, span) = (self.random(), self.random());
        let begun = self.0.clock.now();
        let mut kept = self.kept();
        if OPEN_MAX <= kept.open.len() {
            return;
        }
        let above = above
            .and_then(|above| kept.open.get(&above))
            .map(|span| span.at);
        let at = TraceParent {
            trace: above.map_or(trace, |above| above.trace),
            span,
            sampled: above.is_none_or(|above| above.sampled),
        };
        let begun = Traced {
            at,
            parent: above.map(|above| above.span),
            kind,
            begun,
            ended: begun,
            fields: fields.0,
            failure: None,
        };
        kept.open.insert(id, begun);
    }

    fn end(&self, id: u64) {
        let now = self.0.clock.now();
        let mut kept = self.kept();
        let Some(mut span) = kept.open.remove(&id).filter(|span| span.at.sampled) else {
            return;
        };
        span.ended = now;
        match kept.ended.len() < WAITING_MAX {
            true => kept.ended.push_back(span),
            false => kept.lost += 1,
        }
        drop(kept);
        self.0.ready.notify_one();
    }
}

impl Tracer for Collector {
    fn join(&self, span: &Id, parent: TraceParent) {
        if let Some(span) = self.kept().open.get_mut(&span.into_u64()) {
            span.at.trace = parent.trace;
            span.at.sampled = parent.sampled;
            span.parent = Some(parent.span);
        }
    }

    fn context(&self, span: &Id) -> Option<TraceParent> {
        self.kept().open.get(&span.into_u64()).map(|span| span.at)
    }

    fn fail(&self, span: &Id, why: &str) {
        if let Some(span) = self.kept().open.get_mut(&span.into_u64()) {
            span.failure = Some(cut(why.to_owned()));
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_traced(attributes.metadata()) {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id);
        let above = span.and_then(|span| {
            let mut above = span.scope().skip(1);
            let traced = above.find(|span| is_traced(span.metadata()))?;
            Some(traced.id().into_u64())
        });
        self.begin(id.into_u64(), above, attributes.metadata().name(), fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = self.kept().open.get_mut(&id.into_u64()) {
            for (name, value) in fields.0 {
                span.fields.retain(|(known, _)| *known != name);
                span.fields.push((name, value));
            }
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.end(id.into_u64());
    }
}

/// A span's fields as text.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

fn cut(mut value: String) -> String {
    if VALUE_BYTES_MAX < value.len() {
        value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
    }
    value
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), cut(value.to_owned())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), cut(format!("{value:?}"))));
    }
}

#[cfg(test)]
mod tests {
    use tracing::Span;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Spans whose target is that of a room which has some.
    fn request() -> Span {
        tracing::info_span!(target: "api::dispatch", "request", id = "r", action = tracing::field::Empty)
    }

    fn stage() -> Span {
        tracing::debug_span!(target: "service::trace", "stage", name = "dump")
    }

    fn collected(work: impl FnOnce(&Collector)) -> Vec<Traced> {
        let collector = Collector::new();
        let subscriber = tracing_subscriber::registry().with(collector.clone());
        tracing::subscriber::with_default(subscriber, || work(&collector));
        collector.take(usize::MAX).0
    }

    #[test]
    fn spans_hang_together_and_end() {
        let found = collected(|collector| {
            let outer = request();
            outer.record("action", "CopyDBClusterSnapshot");
            outer.in_scope(|| {
                tracing::info_span!(target: "hyper", "request").in_scope(|| drop(stage()));
                let id = outer.id().expect("an id");
                collector.fail(&id, "AccessDenied");
            });
        });
        let [stage, request] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!((stage.kind, request.kind), ("stage", "request"));
        assert_eq!(stage.at.trace, request.at.trace);
        assert_eq!(stage.parent, Some(request.at.span));
        assert_eq!(request.parent, None);
        assert_eq!(request.failure.as_deref(), Some("AccessDenied"));
        let fields = [
            ("id", "r".to_owned()),
            ("action", "CopyDBClusterSnapshot".to_owned()),
        ];
        assert_eq!(request.fields, fields);
        assert!(request.begun <= stage.begun && stage.ended <= request.ended);
    }

    #[test]
    fn what_comes_from_elsewhere_is_gone_on_with_or_left_alone() {
        let from = TraceParent {
            trace: [1; 16],
            span: [2; 8],
            sampled: true,
        };
        let within = |from: TraceParent| {
            collected(move |collector| {
                let span = request();
                collector.join(&span.id().expect("an id"), from);
                span.in_scope(|| drop(stage()));
            })
        };
        let found = within(from);
        assert!(
            found.iter().all(|span| span.at.trace == [1; 16]),
            "{found:?}"
        );
        assert_eq!(found[1].parent, Some([2; 8]));
        let unsampled = TraceParent {
            sampled: false,
            ..from
        };
        assert!(within(unsampled).is_empty());
    }

    #[test]
    fn what_cannot_be_sent_is_bounded_and_counted() {
        let collector = Collector::new();
        let subscriber = tracing_subscriber::registry().with(collector.clone());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..WAITING_MAX + 5 {
                drop(request());
            }
        });
        assert!(collector.kept().open.is_empty());
        let (spans, lost) = collector.take(10);
        assert_eq!((spans.len(), lost), (10, 5));
        let subscriber = tracing_subscriber::registry().with(collector.clone());
        tracing::subscriber::with_default(subscriber, || (0..7).for_each(|_| drop(request())));
        collector.put_back(spans);
        let (spans, lost) = collector.take(usize::MAX);
        assert_eq!((spans.len(), lost), (WAITING_MAX, 7));
    }
}
