//! The vault through its public door, over local folders and in memory.
#![allow(
    clippy::disallowed_methods,
    reason = "tests take the time, begin programs and threads themselves"
)]
#![allow(clippy::unwrap_used)] // clippy's own exception covers test functions, not their helpers
mod bucket;
mod check;
mod chunks;
mod damage;
mod diff;
mod format;
mod fuzz;
mod layers;
mod page_checks;
mod places;
mod reencrypt;
mod reuse;
mod ship;
mod snapshot;
mod unread;
mod world;
