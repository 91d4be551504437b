//! A snapshot from one vault to another: as it lies, or re-encrypted under keys of the target's own.
//!
//! It does not know who asked, nor under which KMS key.
pub(crate) mod copy;
pub(crate) mod reach;
pub(crate) mod read_from;
pub(crate) mod reencrypt;
