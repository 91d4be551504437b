//! What happened: its kinds, and its delivery.
pub mod backup;
pub mod kinds;
pub mod transport;
pub mod webhooks;
