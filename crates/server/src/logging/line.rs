//! How an event becomes a line: one line each, as text or JSON, whatever its values hold.
//!
//! Values may come from clients, from the clusters' servers and from libraries. None reaches the log
//! raw: what could end the line, move a terminal's cursor or turn the direction of reading is escaped
//! here, and not by whoever logs; and a value is cut at [`VALUE_BYTES_MAX`].
use std::fmt::{self, Debug, Write};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// What is written of one value, bytes before escaping.
pub(crate) const VALUE_BYTES_MAX: usize = 4 << 10;
/// What the bridge from the `log` crate tells of an event's origin.
const BRIDGE: &str = "log.";
const BRIDGED_TARGET: &str = "log.target";

/// Whether a character acts on the reader's terminal or line instead of being shown.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes what is shown as it is, what acts as an escape, and no more than so many bytes.
struct Shown<'a, W> {
    to: &'a mut W,
    left: usize,
}

impl<'a, W: Write> Shown<'a, W> {
    fn write(to: &'a mut W, value: fmt::Arguments<'_>) -> fmt::Result {
        let mut shown = Self {
            to,
            left: VALUE_BYTES_MAX,
        };
        match shown.write_fmt(value) {
            // Cut, and not worth being formatted to its end.
            Err(fmt::Error) if shown.left == 0 => shown.to.write_char('…'),
            result => result,
        }
    }
}

impl<W: Write> Write for Shown<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left < c.len_utf8() {
                self.left = 0;
                return Err(fmt::Error);
            }
            self.left -= c.len_utf8();
            match c {
                '\n' => self.to.write_str("\\n")?,
                '\r' => self.to.write_str("\\r")?,
                '\t' => self.to.write_str("\\t")?,
                c if acts(c) => write!(self.to, "\\u{{{:x}}}", u32::from(c))?,
                c => self.to.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Fields as text: the message bare, the others as `name=value`.
pub(super) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, to: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = TextVisitor {
            to,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct TextVisitor<'writer> {
    to: Writer<'writer>,
    first: bool,
    result: fmt::Result,
}

impl TextVisitor<'_> {
    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.to.write_char(' ')?;
        }
        match field.name() {
            "message" => {}
            name if self.to.has_ansi_escapes() => {
                write!(self.to, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?;
            }
            name => write!(self.to, "{name}=")?,
        }
        Shown::write(&mut self.to, value)
    }
}

impl Visit for TextVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() && !field.name().starts_with(BRIDGE) {
            self.result = self.field(field, format_args!("{value:?}"));
        }
    }
}

/// A span's fields as a JSON object, for [`JsonLine`].
pub(super) struct JsonFields;

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut to: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = JsonVisitor(Map::new());
        fields.record(&mut visitor);
        write!(to, "{}", Value::Object(visitor.0))
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let known = serde_json::from_str(&current.fields).map_err(|_| fmt::Error)?;
        let mut visitor = JsonVisitor(known);
        fields.record(&mut visitor);
        current.fields = Value::Object(visitor.0).to_string();
        Ok(())
    }
}

/// An event as one JSON object: `timestamp`, `level`, its fields, an object for each span that it
/// happened in, `target`.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = JsonVisitor(Map::new());
        for (name, text) in [
            ("timestamp", timestamp.as_str()),
            ("level", event.metadata().level().as_str()),
        ] {
            fields.0.insert(name.to_owned(), Value::from(text));
        }
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let shown = extensions.get::<FormattedFields<N>>();
            if let Some(shown) = shown.and_then(|shown| serde_json::from_str(&shown.fields).ok()) {
                fields.0.insert(span.name().to_owned(), shown);
            }
        }
        event.record(&mut fields);
        fields
            .0
            .entry("target")
            .or_insert_with(|| Value::from(event.metadata().target()));
        // What serde_json leaves as it is and still acts.
        for c in Value::Object(fields.0).to_string().chars() {
            if acts(c) {
                write!(to, "\\u{:04x}", u32::from(c))?;
            } else {
                to.write_char(c)?;
            }
        }
        to.write_char('\n')
    }
}

struct JsonVisitor(Map<String, Value>);

impl JsonVisitor {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            BRIDGED_TARGET => self.0.insert("target".to_owned(), value),
            name if name.starts_with(BRIDGE) => None,
            name => self.0.insert(name.to_owned(), value),
        };
    }
}

impl Visit for JsonVisitor {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Cut::at(VALUE_BYTES_MAX);
        text.fill(format_args!("{value:?}"));
        self.put(field, text.into_text().into());
    }
}

/// A text of bounded length.
pub(super) struct Cut {
    text: String,
    bytes_max: usize,
}

impl Cut {
    pub(super) fn at(bytes_max: usize) -> Self {
        Self {
            text: String::new(),
            bytes_max,
        }
    }

    /// Adds as much as fits, and a mark when that is not all.
    pub(super) fn fill(&mut self, value: fmt::Arguments<'_>) {
        if self.write_fmt(value).is_err() {
            self.text.push('…');
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = self.bytes_max.saturating_sub(self.text.len());
        let fits = text.floor_char_boundary(left);
        self.text.push_str(&text[..fits]);
        if fits < text.len() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use proptest::prelude::*;
    use tracing::field::Empty;
    use tracing_subscriber::{Layer, layer::SubscriberExt};

    use super::*;
    use crate::logging::{self, LogFormat};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("whole").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `work` goes on.
    fn written(format: LogFormat, work: impl FnOnce()) -> String {
        let kept = Kept::default();
        let to = kept.clone();
        let lines = logging::lines(format, false, move || to.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.boxed()), work);
        let bytes = kept.0.lock().expect("whole").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    const FORGED: &str =
        "hello\n2026-11-28T00:00:00Z  INFO job done\r\u{1b}[31mred\u{9b}m\u{202e}\u{2028}\u{7f}\0";

    #[test]
    fn a_value_cannot_begin_a_line_or_reach_the_terminal() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = written(format, || {
                tracing::info!(shown = %FORGED, said = FORGED, "{FORGED}");
            });
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.ends_with('\n'));
            assert!(!text.trim_end().chars().any(acts), "{text:?}");
            assert!(text.contains("job done"), "{text}");
        }
    }

    #[test]
    fn json_keeps_every_value_as_it_was() {
        let text = written(LogFormat::Json, || {
            tracing::warn!(shown = %FORGED, count = 3_u64, is = true, "{FORGED}");
        });
        let read: Value = serde_json::from_str(&text).expect("one object");
        assert_eq!(read["shown"], FORGED);
        assert_eq!(read["message"], FORGED);
        assert_eq!(read["count"], 3);
        assert_eq!(read["is"], true);
        assert_eq!(read["level"], "WARN");
        assert!(
            read["target"]
                .as_str()
                .is_some_and(|target| target.contains("logging"))
        );
        assert!(
            read["timestamp"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z'))
        );
    }

    #[test]
    fn a_span_is_shown_with_what_was_recorded_later() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = written(format, || {
                let span =
                    tracing::info_span!("request", id = %"1-2", action = Empty, account = Empty);
                span.in_scope(|| {
                    tracing::Span::current().record("action", FORGED);
                    span.record("account", tracing::field::display(7));
                    tracing::info!(fault = "F", "refused");
                });
            });
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.trim_end().chars().any(acts), "{text:?}");
            if format == LogFormat::Json {
                let read: Value = serde_json::from_str(&text).expect("one object");
                let request = serde_json::json!({ "id": "1-2", "action": FORGED, "account": "7" });
                assert_eq!((&read["request"], &read["fault"]), (&request, &"F".into()));
            } else {
                assert!(text.contains(" request{id=1-2 action=\"hello"), "{text}");
                assert!(text.contains(" account=7}: "), "{text}");
                assert!(text.contains(": refused fault=\"F\""), "{text}");
            }
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let long = "é".repeat(VALUE_BYTES_MAX);
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = written(format, || tracing::info!(shown = %long, "{long}"));
            assert!(text.len() < 3 * VALUE_BYTES_MAX, "{}", text.len());
            assert_eq!(text.matches('…').count(), 2);
        }
    }

    proptest! {
        #[test]
        fn any_value_is_one_line(value in any::<String>(), json in any::<bool>()) {
            let format = if json { LogFormat::Json } else { LogFormat::Text };
            let text = written(format, || tracing::info!(shown = %value, "m"));
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(!text.trim_end_matches('\n').chars().any(acts));
        }
    }
}
