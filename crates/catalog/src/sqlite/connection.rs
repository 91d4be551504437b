//! Connections to the file, and their settings.
//!
//! It does not know who reads or writes over them.
use std::{path::Path, sync::Arc, time::Duration};

use rusqlite::Connection;

use super::tx::failed;
use crate::error::{CatalogError, ErrorKind};

/// How long another process may hold the write lock before a request is told `Busy`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that each connection keeps prepared.
const STATEMENTS_MAX: usize = 128;
/// The write-ahead log is copied into the file after this many pages, between two batches:
/// rarely enough that a burst of commits waits for the disk only once each.
pub(super) const LOG_PAGES: i64 = 4_000;
/// Where SQLite does the same by itself, within a commit.
const LOG_PAGES_MAX: i64 = 4 * LOG_PAGES;
/// The write-ahead log is cut back to this once it was copied into the file, bytes.
const LOG_BYTES_KEPT: i64 = 16 << 20;

/// Opens a connection with the settings that all of them share.
pub(super) fn connect(path: &Path) -> Result<Connection, CatalogError> {
    let opening = |error| failed("opening its file", error);
    let connection = Connection::open(path).map_err(opening)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(opening)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(opening)?;
    if mode != "wal" {
        // Such as on a network file system, where SQLite's locks cannot be trusted either.
        return Err(CatalogError::Failed {
            doing: "turning on its write-ahead log",
            kind: ErrorKind::Repair,
            source: Arc::new(std::io::Error::other(format!(
                "the file system allows only the journal mode {mode}"
            ))),
        });
    }
    set(&connection, "synchronous", "full")?;
    set(&connection, "wal_autocheckpoint", LOG_PAGES_MAX)?;
    // What a savepoint keeps to be undone is small and short-lived: no files for it.
    set(&connection, "temp_store", "memory")?;
    set(&connection, "journal_size_limit", LOG_BYTES_KEPT)?;
    set(&connection, "trusted_schema", false)?;
    Ok(connection)
}

/// Sets a pragma.
pub(super) fn set(
    connection: &Connection,
    name: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), CatalogError> {
    connection
        .pragma_update(None, name, value)
        .map_err(|error| failed("setting up its connection", error))
}
