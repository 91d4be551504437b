//! What happened: its kinds, and its delivery.
pub mod kinds;
pub mod transport;
pub mod webhooks;
