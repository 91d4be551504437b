//! A cluster's log as it goes out of an engine while a server writes it, and back into one that
//! recovers to a moment.
//!
//! It knows no particular database, nor where the log is kept.
use std::fmt;

use async_trait::async_trait;
use model::{LogPlace, Timestamp};

use crate::error::{EngineError, SinkError};

/// A stretch of a log.
#[derive(Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// Where its bytes begin.
    pub start: LogPlace,
    /// The bytes; none when the log has not grown.
    pub bytes: Vec<u8>,
    /// How the timeline came to be, in the engine's own words; only with the first piece of one that
    /// parted from another.
    pub history: Vec<u8>,
    /// Whether it reaches to where the log ended when the piece was asked for: all that the server
    /// had acknowledged by then lies before its end.
    pub is_last: bool,
}

// What is in a log is a tenant's, and long.
impl fmt::Debug for LogPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogPiece")
            .field("start", &self.start)
            .field("bytes", &self.bytes.len())
            .field("history", &self.history.len())
            .field("is_last", &self.is_last)
            .finish()
    }
}

impl LogPiece {
    /// The place behind its last byte.
    pub fn end(&self) -> LogPlace {
        LogPlace {
            timeline: self.start.timeline,
            position: self.start.position + self.bytes.len() as u64,
        }
    }
}

/// Reads the log of a running server on and on. The server keeps the log from the place that is
/// said to be durable, within its bounds.
#[async_trait]
pub trait LogTail: Send {
    /// What there is behind the last piece, at most about `bytes_max`. All up to `durable` is kept
    /// elsewhere.
    ///
    /// # Errors
    /// [`EngineError::LogGone`] when the server no longer has it; when the server does not answer:
    /// another tail goes on where this one was.
    async fn next(&mut self, durable: LogPlace, bytes_max: usize) -> Result<LogPiece, EngineError>;

    /// Whether commits wait for what is said to be durable: the next piece is asked for at once then,
    /// and comes when there is one.
    fn is_waited_for(&self) -> bool {
        false
    }

    /// Where the next piece begins.
    fn place(&self) -> LogPlace;
}

/// Gives an engine the log that a recovery needs, one piece behind another.
#[async_trait]
pub trait LogSource: Send {
    /// The next piece; none behind the last one.
    ///
    /// # Errors
    /// Whatever ends the recovery.
    async fn next(&mut self) -> Result<Option<LogPiece>, SinkError>;
}

/// How far a recovery is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayTarget {
    /// Where the log of the dump begins.
    pub from: LogPlace,
    /// The moment behind which nothing is applied; none: all of the log is.
    pub until: Option<Timestamp>,
    /// The timeline that it ends on.
    pub timeline: u32,
    /// How timelines behind that of the dump came to be, in the engine's own words.
    pub histories: Vec<(u32, Vec<u8>)>,
}
