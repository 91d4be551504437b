//! What engines that run servers on this machine have in common: programs and their users, processes,
//! addresses, locks and marks, logs, chosen parameters.
//!
//! It knows no particular database.
pub(crate) mod address;
pub(crate) mod change_token;
pub(crate) mod child;
pub(crate) mod chosen;
pub(crate) mod fence;
pub(crate) mod files;
pub(crate) mod follower;
pub(crate) mod hold;
pub(crate) mod identity;
pub(crate) mod limited;
pub(crate) mod listeners;
pub(crate) mod lists;
pub(crate) mod mark;
pub(crate) mod processes;
pub(crate) mod server_log;
pub(crate) mod serving;
pub(crate) mod sweep_user;
pub(crate) mod template;
pub(crate) mod users;
pub(crate) mod whole;
