//! This process before the system: its memory, files and command line.
pub(crate) mod cluster_limits;
pub(crate) mod conceal;
pub(crate) mod descriptors;
pub(crate) mod memory;
pub(crate) mod open_files;
pub(crate) mod replace;
pub(crate) mod service_manager;
pub(crate) mod user_limits;
