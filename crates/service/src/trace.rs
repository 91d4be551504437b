//! Traces: which span a request, a job or a stage of one belongs to, as W3C's Trace Context says it.
//!
//! It does not know who collects spans. While nobody does, nothing is kept and nothing is told.
use std::sync::OnceLock;

use http::HeaderMap;
use tracing::{Span, span};

/// The header that a context comes in, and goes on in.
pub const HEADER: &str = "traceparent";

/// Where a span is among all: its trace and itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace's id.
    pub trace: [u8; 16],
    /// The span's.
    pub span: [u8; 8],
    /// Whether spans of this trace are collected.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads one (W3C Trace Context, 3.2.2). Later versions may say more behind.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let version = hex::<1>(parts.next()?)?;
        let (trace, span, flags) = (
            hex::<16>(parts.next()?)?,
            hex::<8>(parts.next()?)?,
            hex::<1>(parts.next()?)?,
        );
        let more = parts.next().is_some();
        let legal = version != [0xff] && trace != [0; 16] && span != [0; 8];
        (legal && !(more && version == [0])).then_some(Self {
            trace,
            span,
            sampled: flags[0] & 1 == 1,
        })
    }

    /// As it is sent.
    pub fn text(&self) -> String {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let flags = u8::from(self.sampled);
        format!("00-{}-{}-{flags:02x}", hex(&self.trace), hex(&self.span))
    }
}

/// So many bytes in lower case hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let read = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
    read.try_into().ok()
}

/// Who collects spans.
pub trait Tracer: Send + Sync {
    /// Makes a span the child of one elsewhere.
    fn join(&self, span: &span::Id, parent: TraceParent);
    /// Where a span is, if it is collected.
    fn context(&self, span: &span::Id) -> Option<TraceParent>;
    /// Says of a span why what it is about did not come to a good end.
    fn fail(&self, span: &span::Id, why: &str);
}

static TRACER: OnceLock<Box<dyn Tracer>> = OnceLock::new();

/// Has spans collected from now on; only the first who asks for it does.
pub fn install(tracer: Box<dyn Tracer>) {
    let _ = TRACER.set(tracer);
}

fn with_tracer<T>(
    span: &Span,
    work: impl FnOnce(&dyn Tracer, &span::Id) -> Option<T>,
) -> Option<T> {
    let tracer = TRACER.get()?;
    work(&**tracer, &span.id()?)
}

/// The context of the span that is current, as it is sent on.
pub fn current() -> Option<String> {
    TRACER.get()?;
    with_tracer(&Span::current(), |tracer, id| tracer.context(id)).map(|parent| parent.text())
}

/// Makes a span the child of the one that a request came from, if it says so.
pub fn join_request(span: &Span, headers: &HeaderMap) {
    if let Some(Ok(text)) = headers.get(HEADER).map(http::HeaderValue::to_str) {
        join(span, text);
    }
}

/// Makes a span the child of one elsewhere. What does not read is passed over.
pub fn join(span: &Span, parent: &str) {
    with_tracer(span, |tracer, id| {
        tracer.join(id, TraceParent::parse(parent)?);
        Some(())
    });
}

/// Says of the span that is current why what it is about did not come to a good end.
pub fn failed(why: &str) {
    if TRACER.get().is_some() {
        with_tracer(&Span::current(), |tracer, id| {
            tracer.fail(id, why);
            Some(())
        });
    }
}

/// The span of a part of a job. Nothing is logged of it.
pub fn stage(name: &'static str) -> Span {
    tracing::debug_span!("stage", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_and_sent_on() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = TraceParent::parse(text).expect("one");
        assert_eq!(read.text(), text);
        assert!(read.sampled);
        let later = format!("01{}-more", &text[2..]);
        assert!(TraceParent::parse(&later).is_some());
        let unsampled = text.replace("-01", "-00");
        assert!(!TraceParent::parse(&unsampled).expect("one").sampled);
        for wrong in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }
}
