//! What a sweep asks of a vault: what is there, what a manifest reaches, and deletion.
//!
//! It does not know which manifests live: that is the catalog's.
pub(crate) mod inventory;
pub(crate) mod retain;
pub(crate) mod sweep;
