//! What verbs use that speak to a server over the public API, here or elsewhere.
//!
//! It does not know what is asked.
mod api;
mod login;
mod profile;

pub(crate) use api::{Api, ApiError};
pub(crate) use login::Login;
pub(crate) use profile::Remote;
