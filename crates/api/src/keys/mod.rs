//! What several KMS actions share.
pub mod checks;
pub mod crypto;
pub mod grants;
pub mod lookup;
pub mod macs;
pub mod metadata;
pub mod pins;
pub mod signing;
pub mod tags;
