//! Connections and requests, up to the service.
pub(crate) mod body;
pub(crate) mod buffers;
pub(crate) mod connection_slots;
pub(crate) mod content;
pub(crate) mod home_page;
pub(crate) mod host_check;
pub(crate) mod listen;
pub(crate) mod metrics_page;
pub(crate) mod pace;
mod probes;
pub(crate) mod response;
pub(crate) mod router;
