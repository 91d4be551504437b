//! The API: actions, their shapes, and the dispatch between a request and an action.
//!
//! It does not know how work is done in the background, nor what listens: a request comes in as a
//! [`wire::RawRequest`], and what runs is the [`service::Service`].
mod action;
mod actions;
mod apis;
mod backup;
mod clusters;
mod dispatch;
mod keys;
mod known_actions;
pub mod openapi;
mod placement;
mod presigned;
mod recorder;
mod resources;
mod routes;
mod schema;
mod secrets;
mod shapes;
mod spread;
mod tagging;

pub use actions::{ACTIONS, find};
pub use apis::Api;
pub use dispatch::Dispatch;
pub use known_actions::KNOWN;
pub use recorder::Origin;
