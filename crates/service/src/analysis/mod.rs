//! Answers about snapshots that manifests and block lists have: what changed between two of them, and
//! what each costs.
//!
//! It does not know who asks, nor how it is told. No pack is read.
pub mod costs;
pub mod diff;
