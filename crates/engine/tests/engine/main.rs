//! The engine through its public door, over real clusters.
#![allow(
    clippy::disallowed_methods,
    reason = "tests take the time, begin programs and threads themselves"
)]
mod afar;
mod changes;
mod churn;
mod conformance;
mod dumps;
mod lifecycle;
mod meanwhile;
mod members;
mod points;
mod questions;
mod secrets;
mod support;
mod templates;
