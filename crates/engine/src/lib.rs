//! How kinds of databases are run, dumped and loaded, each by an engine of its own.
//!
//! It does not know regions, accounts, keys or vaults: a dump goes to a [`DumpSink`], and a load
//! finds its files in place.
mod blocking;
mod capabilities;
mod certify;
mod client_call;
mod confinement;
#[cfg(feature = "conformance")]
pub mod conformance;
mod dump;
mod error;
#[cfg(feature = "conformance")]
mod fake;
mod folder;
mod home;
mod hosting;
mod interface;
mod left_behind;
mod log;
pub mod mysql;
mod os_users;
mod parameters;
pub mod postgres;
mod proc;
mod profile;
mod programs;
mod question;
mod reach;
mod registry;
mod removal;

pub use capabilities::{Lacking, MissingCapability, missing_capabilities};
pub use certify::{Certifier, Identity, Tls};
pub use client_call::{ClientCall, ClientTarget};
pub use confinement::{Confinement, Limits, NoGroups};
pub use error::{Cause, EngineError, SinkError};
#[cfg(feature = "conformance")]
pub use fake::FakeEngine;
pub use home::{Home, PeerSecret, Replication, Upstream};
pub use interface::{
    ChangeMaps, DumpInfo, DumpSink, Engine, Examined, Inheritance, NewCluster, Replica, ServerState,
};
pub use left_behind::{LeftBehindError, end_left_behind, left_behind, users_left_behind};
pub use log::{LogPiece, LogSource, LogTail, ReplayTarget};
pub use os_users::{FIRST_OS_USER, OsUsers, OsUsersError, SharedUser};
pub use parameters::{
    Configured, Parameter, ParameterType, SYNCHRONOUS_BACKUP, WantedParameters, WantedValue,
};
pub use postgres::{Eviction, EvictionError, Evictor, Occupant, shown_occupants};
pub use profile::{FilePart, NameRules, Profile};
pub use programs::Programs;
pub use question::{Answer, Asked, Inspected, Inspection, Question};
pub use reach::first_unreachable;
pub use registry::{EngineRegistry, profile, profile_of_family, series_of};
pub use removal::{RemovalError, remove_tree};
