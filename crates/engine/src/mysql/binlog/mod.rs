//! Logs of committed transactions, as files.
//!
//! It does not know whose they are, nor what the transactions do.
pub(super) mod event;
pub(super) mod gtids;
pub(super) mod read;
