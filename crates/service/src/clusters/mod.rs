//! Clusters on this node: their addresses, certificates, files, OS users, and who keeps them running.
pub mod addresses;
pub mod authority;
pub mod files;
pub mod supervise;
pub mod users;
