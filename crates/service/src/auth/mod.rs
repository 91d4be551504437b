//! Who asks: signatures, access keys, sessions, presigned URLs.
//!
//! It does not know what is asked.
pub mod authenticate;
pub mod caller;
pub mod presigned;
pub mod sessions;
