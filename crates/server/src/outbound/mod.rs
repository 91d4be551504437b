//! Requests that this process sends.
pub(crate) mod http_client;
pub(crate) mod kms_client;
pub(crate) mod peer_transport;
pub(crate) mod webhook_sender;
