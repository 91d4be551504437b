//! Who asked for what: one record for each request, in CloudTrail's form, in files whose lines are
//! chained by their hashes.
//!
//! It does not know which actions there are, nor who may read what.
mod chain;
mod log;
mod mask;
mod record;
mod verify;

#[cfg(test)]
mod tests;

pub use chain::Head;
pub use log::{AuditError, AuditLog, Kept, ROTATE_BYTES};
pub use mask::{HIDDEN, masked};
pub use record::{Record, UserIdentity};
pub use verify::{Finding, Report, verify};
