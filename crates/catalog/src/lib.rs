//! What exists: clusters, snapshots, keys, jobs and their leases, in one transactional store.
//!
//! It does not know what an action or a job does, nor what the vault holds: it keeps records,
//! compares versions, hands out leases, and says which manifests are still needed.
//!
//! Work is written as plain functions over [`Tx`], given to [`CatalogExt::write`] or
//! [`CatalogExt::read`]; the table modules below are such functions. Their SQL is the part that
//! SQLite and PostgreSQL share (`?1` placeholders; TEXT, BIGINT and BLOB columns), so a catalog
//! on PostgreSQL can run the same functions: docs/decisions/0003-sqlite-shared-commits.md.
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod copy;
mod error;
mod migrations;
pub mod postgres;
mod queue;
pub mod sqlite;
mod tables;
mod transaction;
mod value;
mod watch;

pub use error::{CatalogError, DAMAGE_HINT, ErrorKind, damage_seen};
pub use postgres::PostgresCatalog;
pub use sqlite::SqliteCatalog;
pub use tables::{
    Stored, access_keys, accounts, automated, backup_jobs, backup_plans, clusters, counts,
    dirty_volumes, events, grants, holdings, instances, jobs, keyed, keys, last_snapshots, meta,
    node_tasks, nodes, outbox, parameter_status, pins, rebuild_state, record::Record, recorded,
    recovery_points, restore_testing, retained_backups, snapshots, tombstones, transfer_holds,
    uids, verified, webhooks,
};
pub use transaction::{Catalog, CatalogExt, CommitMark, Touched, Tx, Verdict, Work};
pub use value::{Arg, Row, Value};
pub use watch::WatchedCatalog;
