//! Log lines on standard error, as text or JSON.
//!
//! It does not know what is logged.
use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter, util::SubscriberInitExt};

use crate::settings::LogFormat;

/// What is logged when nothing is said.
const LEVEL: &str = "info";

/// Begins to log.
///
/// # Errors
/// When the filter does not read, or logging has begun already.
pub(crate) fn begin(format: LogFormat, level: Option<&str>) -> Result<(), LoggingError> {
    let level = level.unwrap_or(LEVEL);
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|source| LoggingError::Filter {
            level: level.to_owned(),
            source,
        })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let begun = match format {
        LogFormat::Text => {
            let colored = io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            lines.with_ansi(colored).finish().try_init()
        }
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .finish()
            .try_init(),
    };
    begun.map_err(LoggingError::Twice)
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
