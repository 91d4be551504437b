//! What a deployment consists of on this machine: its folder, catalog, vaults, keys.
pub(crate) mod audit_log;
pub(crate) mod catalogs;
pub(crate) mod credentials;
pub(crate) mod data_dir;
pub(crate) mod erase;
pub(crate) mod master_key;
mod object_lock;
pub(crate) mod s3;
pub(crate) mod vaults;
