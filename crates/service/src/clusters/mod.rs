//! Clusters on this node: their addresses, certificates, files, OS users, and who keeps them running.
pub mod address_range;
pub mod addresses;
pub mod answering;
pub mod authority;
pub(crate) mod exit;
pub mod files;
pub mod handover;
pub(crate) mod handover_keeper;
pub mod here;
pub mod on_disk;
pub(crate) mod parameters;
pub mod peer_key;
mod roles;
pub mod supervise;
pub(crate) mod upkeep;
pub mod users;
