//! The database's clock, by which leases and graces go.
//!
//! It does not know what is timed.
use model::Timestamp;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::{
    error::{SessionError, in_words},
    session::Session,
};

/// Asks for the present moment, microseconds since 1970.
pub(super) const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// The last row of an answer.
pub(super) fn last_row(answer: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    answer.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

/// The moment that a row of [`CLOCK`] tells.
pub(super) fn moment(row: Option<&SimpleQueryRow>) -> Result<Timestamp, SessionError> {
    row.and_then(|row| row.get(0)?.parse().ok().map(Timestamp))
        .ok_or_else(|| SessionError::Lost(in_words("the server did not tell the time")))
}

/// The present moment, asked within a transaction.
pub(super) fn ask_clock(session: &Session) -> Result<Timestamp, SessionError> {
    moment(last_row(&session.simple(CLOCK)?))
}
