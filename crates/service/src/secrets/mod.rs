//! Secrets: passwords of clusters' master users that RDS draws, keeps and changes for their owners.
//!
//! A secret is part of its cluster's record ([`model::MasterSecret`]) and ends with it. Each version
//! of its value is sealed under a data key of its own, which a KMS key wraps: who may not use that
//! key does not read the password, whoever has the catalog.
pub mod rotation;
pub mod value;
