//! Clusters' logs on their way into the vault, and back out of it to a point in time.
//!
//! It does not know how an engine lays out its log: pieces of it go into chunks, and come back.
pub mod bases;
pub(crate) mod keeper;
pub(crate) mod shipper;
pub mod source;
pub(crate) mod trim;
pub(crate) mod upkeep;
pub mod windows;
