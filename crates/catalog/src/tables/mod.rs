//! The tables: one file each, plain functions over [`crate::Tx`] that both databases run.
pub mod access_keys;
pub mod accounts;
pub mod clusters;
pub mod counts;
pub mod dirty_volumes;
pub mod events;
pub mod grants;
pub mod instances;
pub mod jobs;
pub mod keys;
pub mod meta;
pub mod node_tasks;
pub mod nodes;
pub mod outbox;
pub mod pins;
pub mod rebuild_state;
pub mod record;
pub mod recorded;
pub mod snapshots;
pub(crate) mod stored;
pub mod tombstones;
pub mod transfer_holds;
pub mod uids;
pub mod verified;
pub mod webhooks;

pub use stored::Stored;
