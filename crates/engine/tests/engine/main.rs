//! The engine through its public door, over real clusters.
mod churn;
mod conformance;
mod dumps;
mod lifecycle;
mod meanwhile;
mod support;
mod templates;
