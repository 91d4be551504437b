//! What several KMS actions share.
pub mod crypto;
pub mod grants;
pub mod lookup;
pub mod macs;
pub mod signing;
