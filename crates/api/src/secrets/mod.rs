//! What the actions of Secrets Manager share.
//!
//! The only secrets are those of clusters' master users, which RDS manages.
pub mod lookup;
pub mod shape;
