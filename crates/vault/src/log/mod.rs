//! Clusters' logs: chunks by their names, and the chains that they are.
//!
//! It does not know which chunks are needed, nor how an engine's log is laid out.
pub(crate) mod chain;
pub(crate) mod chunks;
pub(crate) mod join;
