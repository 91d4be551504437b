//! The processes that share a catalog.
pub mod forget;
pub(crate) mod leader;
pub mod membership;
