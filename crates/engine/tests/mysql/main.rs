//! The engine of MySQL through its public door, over real clusters. Where no server is installed every test says so
//! and ends.
#![allow(
    clippy::disallowed_methods,
    reason = "tests take the time, begin programs and threads themselves"
)]
mod bank;
mod conformance;
mod contents;
mod damage;
mod dumps;
mod figures;
mod lifecycle;
mod members;
mod points;
mod soak;
mod support;
mod takeovers;
