//! Durable background work, one kind a file: its [`JobType`]. Which there are says [`registry`].
//!
//! A job is a list of steps that can stop anywhere and run again: it takes no hints, re-reads
//! state, and its one commit checks that its lease still holds.
pub mod change_cluster;
pub mod copy_document;
pub mod copy_snapshot;
pub mod create_cluster;
mod create_elsewhere;
pub mod create_instance;
pub mod create_snapshot;
pub mod deaths;
pub mod delete_cluster;
pub mod delete_instance;
mod dump;
mod error;
pub(crate) mod examine_restore;
pub(crate) mod failover;
pub mod failover_cluster;
pub mod keyed_queues;
pub mod on_instance;
mod own_checks;
pub mod progress;
pub mod reboot_instance;
pub mod reencrypt;
pub mod registry;
pub mod restore_cluster;
mod restore_sample;
pub mod run;
pub mod runner;
pub mod slots;
mod verify_logs;
pub mod verify_vault;

pub use error::{JobError, Reason};
pub use run::{JobType, Run, job_at, new_job};
