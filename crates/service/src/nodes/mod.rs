//! The processes that share a catalog.
pub mod forget;
pub mod membership;
