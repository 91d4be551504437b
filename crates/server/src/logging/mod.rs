//! Log lines on standard error, as text or JSON.
//!
//! It does not know what is logged.
mod line;
mod sampler;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::{self, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::settings::LogFormat;
pub(crate) use line::VALUE_BYTES_MAX;
use line::{JsonFields, JsonLine, TextFields};
use sampler::{Sampler, Sampling};

/// What is logged when nothing is said.
const LEVEL: &str = "info";

/// Begins to log.
///
/// # Errors
/// When the filter does not read, or logging has begun already.
pub(crate) fn begin(
    format: LogFormat,
    level: Option<&str>,
    spans: Option<Spans>,
) -> Result<Log, LoggingError> {
    let level = level.unwrap_or(LEVEL);
    let filter: Targets = level.parse().map_err(|source| LoggingError::Filter {
        level: level.to_owned(),
        source,
    })?;
    let colored = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let sampler = Arc::new(Sampler::default());
    let registry = tracing_subscriber::registry();
    let begun = match spans {
        None => registry
            .with(filter)
            .with(Sampling(Arc::clone(&sampler)))
            .with(lines(format, colored, io::stderr))
            .try_init(),
        Some(Spans { are_wanted, heard }) => registry
            .with(heard)
            .with(with_spans(filter, are_wanted))
            .with(Sampling(Arc::clone(&sampler)))
            .with(lines(format, colored, io::stderr))
            .try_init(),
    };
    begun.map_err(LoggingError::Twice)?;
    Ok(Log(sampler))
}

/// Who hears of spans beside the log, and of which.
pub(crate) struct Spans {
    /// Which.
    pub(crate) are_wanted: fn(&Metadata<'_>) -> bool,
    /// Who.
    pub(crate) heard: Box<dyn Layer<Registry> + Send + Sync>,
}

impl std::fmt::Debug for Spans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spans")
    }
}

/// Lets pass what is logged, and spans that are wanted whatever is logged.
fn with_spans<S: Subscriber>(
    logged: Targets,
    are_wanted: fn(&Metadata<'_>) -> bool,
) -> impl Layer<S> {
    let level = Layer::<Registry>::max_level_hint(&logged).unwrap_or(LevelFilter::TRACE);
    let passes =
        move |of: &Metadata<'_>| logged.would_enable(of.target(), of.level()) || are_wanted(of);
    filter::filter_fn(passes).with_max_level_hint(level.max(LevelFilter::DEBUG))
}

/// Writes events as lines.
fn lines<S, W>(format: LogFormat, colored: bool, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(to);
    match format {
        LogFormat::Text => lines.with_ansi(colored).fmt_fields(TextFields).boxed(),
        LogFormat::Json => lines
            .with_ansi(false)
            .fmt_fields(JsonFields)
            .event_format(JsonLine)
            .boxed(),
    }
}

/// What is being logged.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Sampler>);

impl Log {
    /// Says from time to time how many lines were left out, for ever.
    pub(crate) async fn keep_telling(self) {
        let mut ticks = interval(sampler::INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tell_left_out();
        }
    }

    /// Says how many lines of each kind were left out since it was last said.
    pub(crate) fn tell_left_out(&self) {
        for left in self.0.left_out() {
            tracing::warn!(
                of = left.target,
                like = left.message,
                fault = left.fault,
                lines = left.lines,
                "lines were left out: too many of a kind"
            );
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    /// Not a filter.
    #[error("{level:?} is not a log level or filter")]
    Filter {
        /// What was given.
        level: String,
        source: filter::ParseError,
    },
    /// Another logger is there.
    #[error("logging has begun already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}
