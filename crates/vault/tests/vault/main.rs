//! The vault through its public door, over local folders and in memory.
#![allow(clippy::unwrap_used)] // clippy's own exception covers test functions, not their helpers
mod bucket;
mod check;
mod damage;
mod format;
mod layers;
mod looks;
mod reseal;
mod reuse;
mod ship;
mod snapshot;
mod world;
