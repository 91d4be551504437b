//! The log that a cluster's server writes of all changes: places in it, and its unbroken streams
//! into the cluster's volume.
//!
//! It does not know how an engine writes its log, nor how what was read of it is kept.
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Timestamp, key::WrappedKey};

/// A place in a cluster's log. A server that takes over writes on under a later timeline, which
/// parts from the earlier one at some position; an engine may as well have each file of its log be a
/// timeline, which begins at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogPlace {
    /// The timeline's number.
    pub timeline: u32,
    /// Bytes since the log's beginning.
    pub position: u64,
}

/// One unbroken stream of a cluster's log into its volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStream {
    /// Names it, and what is kept of it.
    pub id: Uuid,
    /// The key that its chunks are sealed under; none in an unencrypted volume.
    pub wrapped_key: Option<WrappedKey>,
    /// Where it begins.
    pub began: LogPlace,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was given up; none while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The earliest moment that can be restored, when that was written down last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest: Option<Timestamp>,
    /// The latest moment that can be restored, when that was written down last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Timestamp>,
}

/// The moments that a cluster can be restored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreWindow {
    /// The earliest.
    pub earliest: Timestamp,
    /// The latest.
    pub latest: Timestamp,
}

impl LogStream {
    /// The moments that it restores, as written down last.
    pub fn window(&self) -> Option<RestoreWindow> {
        let (earliest, latest) = (self.earliest?, self.latest?);
        (earliest <= latest).then_some(RestoreWindow { earliest, latest })
    }
}

/// Where in its cluster's log a snapshot lies: with the log from there on it becomes any later state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InLog {
    /// The stream that has the log.
    pub stream: Uuid,
    /// Where the log must begin that goes with it.
    pub start: LogPlace,
    /// Where in the log it is a consistent state.
    pub end: LogPlace,
    /// A moment at which it was one.
    pub at: Timestamp,
}
