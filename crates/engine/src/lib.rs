//! How a kind of database is run, dumped and loaded. `postgres` is the engine that is there.
//!
//! It does not know regions, accounts, keys or vaults: a dump goes to a [`DumpSink`], and a load
//! finds its files in place.
pub mod capabilities;
mod door;
mod error;
mod folder;
pub mod postgres;
mod reach;

pub use door::{
    Content, DumpInfo, DumpSink, Engine, Evidence, Home, Looked, NewCluster, ServerState,
    SinkError, scram_verifier,
};
pub use error::{EngineError, ErrorKind};
pub use postgres::{Disturbance, Postgres};
pub use reach::first_unreachable;
