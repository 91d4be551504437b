//! Spans as OTLP's JSON (opentelemetry-proto, `ExportTraceServiceRequest`).
use data_encoding::HEXLOWER;
use model::Timestamp;
use serde_json::{Value, json};

use super::collector::Traced;

/// What OTLP calls a span that answers somebody, and one that does not.
const SERVER: u8 = 2;
const INTERNAL: u8 = 1;
/// What it calls a bad end.
const ERROR: u8 = 2;

/// A message with these spans of the instance of that name.
pub(super) fn message(spans: &[Traced], instance: &str) -> Value {
    json!({
        "resourceSpans": [{
            "resource": { "attributes": [
                attribute("service.name", "snapferry"),
                attribute("service.version", env!("CARGO_PKG_VERSION")),
                attribute("service.instance.id", instance),
            ] },
            "scopeSpans": [{
                "scope": { "name": "snapferry", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans.iter().map(span).collect::<Vec<_>>(),
            }],
        }],
    })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn nanos(at: Timestamp) -> String {
    (i128::from(at.0) * 1_000).to_string()
}

fn span(span: &Traced) -> Value {
    let kind = if span.kind == "request" {
        SERVER
    } else {
        INTERNAL
    };
    let attributes = span.fields.iter();
    let attributes = attributes
        .map(|(name, value)| attribute(&format!("snapferry.{}.{name}", span.kind), value));
    let mut shown = json!({
        "traceId": HEXLOWER.encode(&span.at.trace),
        "spanId": HEXLOWER.encode(&span.at.span),
        "name": name(span),
        "kind": kind,
        "startTimeUnixNano": nanos(span.begun),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": attributes.collect::<Vec<_>>(),
    });
    if let Some(parent) = &span.parent {
        shown["parentSpanId"] = json!(HEXLOWER.encode(parent));
    }
    if let Some(why) = &span.failure {
        shown["status"] = json!({ "code": ERROR, "message": why });
    }
    shown
}

/// What a span is called: the action, the job's kind, or the stage.
fn name(span: &Traced) -> &str {
    let wanted = match span.kind {
        "request" => "action",
        "job" => "kind",
        _ => "name",
    };
    let mut fields = span.fields.iter();
    let found = fields.find(|(name, value)| *name == wanted && !value.is_empty());
    found.map_or(span.kind, |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use service::trace::TraceParent;

    use super::*;

    #[test]
    fn a_span_is_told_as_otlp_has_it() {
        let traced = Traced {
            at: TraceParent {
                trace: [0xab; 16],
                span: [0xcd; 8],
                sampled: true,
            },
            parent: Some([1; 8]),
            kind: "job",
            begun: Timestamp(1_000_001),
            ended: Timestamp(2_000_000),
            fields: vec![("id", "j".to_owned()), ("kind", "copy-snapshot".to_owned())],
            failure: Some("gone".to_owned()),
        };
        let told = message(&[traced], "node-1");
        let resource = &told["resourceSpans"][0];
        assert_eq!(
            resource["resource"]["attributes"][2],
            json!({"key": "service.instance.id", "value": {"stringValue": "node-1"}})
        );
        assert_eq!(
            resource["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": "ab".repeat(16), "spanId": "cd".repeat(8), "parentSpanId": "01".repeat(8),
                "name": "copy-snapshot", "kind": 1, "startTimeUnixNano": "1000001000", "endTimeUnixNano": "2000000000",
                "attributes": [
                    {"key": "snapferry.job.id", "value": {"stringValue": "j"}},
                    {"key": "snapferry.job.kind", "value": {"stringValue": "copy-snapshot"}},
                ],
                "status": {"code": 2, "message": "gone"},
            })
        );
    }
}
