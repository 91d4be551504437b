//! Keys: the master key, key material, wrapped data keys, key policies and key identifiers.
//!
//! It does not know where keys are kept, nor which API asked: pure functions over the model's
//! records.
//!
//! Invariant: keys, salts and nonces come from the operating system's generator only (see
//! `secret`), never from `model::Entropy`, which tests may hold.
mod envelope;
pub mod grant;
mod master;
pub mod pair;
pub mod policy;
mod random;
mod reference;
mod seal;
mod secret;
mod wrap;

pub use envelope::{open_value, seal_value};
pub use master::{MasterKey, OpenError};
pub use pair::{Message, PairError};
pub use policy::{Decision, Policy, PolicyError, Request};
pub use random::fill_random;
pub use reference::{AliasError, KeyRef, KeyRefError, check_alias};
pub use secret::{KeyMaterial, material_id};
pub use wrap::{
    PLAINTEXT_BYTES_MAX, WrapError, generate_data_key, key_of, random_bytes, unwrap, wrap,
};
