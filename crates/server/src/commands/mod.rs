//! The verbs of the command line.
pub(crate) mod account;
pub(crate) mod catalog_rebuild;
pub(crate) mod cli;
pub(crate) mod failure;
pub(crate) mod node;
mod offline;
pub(crate) mod output;
mod progress_bar;
pub(crate) mod reference;
pub(crate) mod rotate_master_key;
pub(crate) mod serve;
pub(crate) mod vault;
