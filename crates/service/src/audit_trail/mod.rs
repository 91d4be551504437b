//! The audit log as the service has it: who sees to it, and who reads it.
//!
//! It does not know what is recorded: that is told by whoever answers requests.
pub(crate) mod keeper;
pub mod lookup;

pub use keeper::fact;
