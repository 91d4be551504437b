//! Secrets in pages of their own, which stay out of swap where the system lets them, and are wiped.
//!
//! It does not know what they open.
mod locker;
mod page;
mod secret;

pub use locker::{Locker, Place};
pub use secret::Secret;
