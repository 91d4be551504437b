//! What exists: clusters, snapshots, keys, jobs and their leases, in one transactional store.
//!
//! It does not know what an action or a job does, nor what the vault holds: it keeps records,
//! compares versions, hands out leases, and says which manifests are still needed.
//!
//! Work is written as plain functions over [`Tx`], given to [`CatalogExt::write`] or
//! [`CatalogExt::read`]; the table modules below are such functions. Their SQL is the part that
//! SQLite and PostgreSQL share (`?1` placeholders; TEXT, BIGINT and BLOB columns), so a catalog
//! on PostgreSQL can run the same functions: docs/decisions/0003-sqlite-shared-commits.md.
pub mod access_keys;
pub mod accounts;
pub mod clusters;
pub mod condemned;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod copy;
mod error;
pub mod events;
pub mod grants;
pub mod jobs;
pub mod keys;
pub mod marks;
pub mod meta;
pub mod mirrored;
pub mod nodes;
pub mod outbox;
pub mod passes;
pub mod pins;
pub mod postgres;
pub mod rebuilt;
pub mod snapshots;
pub mod sqlite;
mod stored;
mod transaction;
pub mod uids;
mod value;
pub mod verified;
pub mod webhooks;

pub use error::{CatalogError, DAMAGE_HINT, ErrorKind, damage_seen};
pub use postgres::PostgresCatalog;
pub use sqlite::SqliteCatalog;
pub use stored::Stored;
pub use transaction::{Catalog, CatalogExt, Tx, Verdict, Work};
pub use value::{Arg, Row, Value};
