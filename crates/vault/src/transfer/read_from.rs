//! Where a snapshot is read.
//!
//! It does not know where it goes.
use crate::store::{names::Condemned, remote_reader::Origin, vault::Vault};

/// Where the snapshot is read.
#[derive(Debug, Clone, Copy)]
pub enum ReadFrom<'a> {
    /// A vault at hand, and the names in it that count as absent.
    Vault(&'a Vault, &'a Condemned),
    /// Another deployment's vault. Each pack of which something is wanted is asked for once.
    Link(&'a dyn Origin),
}
