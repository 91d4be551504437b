//! Who asked for what: one record for each request, in CloudTrail's form, in files whose lines are
//! chained by their hashes.
//!
//! It does not know which actions there are, nor who may read what.
mod chain;
mod log;
mod mask;
mod read;
mod record;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use chain::Head;
pub use log::{AuditError, AuditLog, Counts, Kept, ROTATE_BYTES};
pub use mask::{HIDDEN, masked};
pub use read::{Before, newest_first, record as read_record};
pub use record::{Record, Resource, UserIdentity};
pub use verify::{Finding, Known, Report, verify};
