//! How a kind of database is run, dumped and loaded. `postgres` is the engine that is there.
//!
//! It does not know regions, accounts, keys or vaults: a dump goes to a [`DumpSink`], and a load
//! finds its files in place.
mod capabilities;
mod certify;
mod door;
mod error;
mod folder;
mod os_users;
pub mod postgres;
mod proc;
mod reach;
mod removal;

pub use capabilities::{MissingCapability, missing_capabilities};
pub use certify::{Certifier, Identity, Tls};
pub use door::{
    DumpInfo, DumpSink, Engine, Examined, Home, NewCluster, ServerState, SinkError, scram_verifier,
};
pub use error::{EngineError, ErrorKind};
pub use os_users::{FIRST_OS_USER, OsUsers, OsUsersError, SharedUser};
pub use postgres::{
    Disturbance, Eviction, EvictionError, Evictor, Occupant, Postgres, shown_occupants,
};
pub use reach::first_unreachable;
pub use removal::{RemovalError, remove_tree};
