//! The schema and how an older one is brought up to date.
//!
//! It does not know what the tables are for.
use std::{collections::BTreeSet, path::Path};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::tx::failed;
use crate::{error::CatalogError, migrations::MIGRATIONS, tables::meta};

/// The table that is there before the first migration.
const META: &str = "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) \
     STRICT, WITHOUT ROWID";
/// Marks the file as a catalog in SQLite's header: "SNFR".
const APPLICATION_ID: i32 = 0x534E_4652;

/// Applies the migrations that a file lacks, in one transaction. Two processes that open a new
/// file at once wait for each other here.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), CatalogError> {
    let doing = |error| failed("bringing its schema up to date", error);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(doing)?;
    let applied = applied(&transaction, path)?;
    let known = MIGRATIONS.len();
    let Some(missing) = usize::try_from(applied)
        .ok()
        .and_then(|applied| MIGRATIONS.get(applied..))
    else {
        return Err(CatalogError::NewerSchema {
            path: path.to_owned(),
            found: applied,
            known: known as u64,
        });
    };
    check_shape(&transaction, applied, path)?;
    if missing.is_empty() {
        return Ok(());
    }
    for step in missing {
        transaction.execute_batch(step.sqlite).map_err(doing)?;
    }
    transaction
        .execute(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (meta::SCHEMA, known.to_string()),
        )
        .map_err(doing)?;
    transaction.commit().map_err(doing)?;
    tracing::info!(path = %path.display(), from = applied, to = known, "the catalog's schema is up to date");
    Ok(())
}

/// Refuses a file that does not have the tables and indexes which its number says: rows of others
/// would be taken for these, or for none.
fn check_shape(
    transaction: &Transaction<'_>,
    applied: u64,
    path: &Path,
) -> Result<(), CatalogError> {
    let doing = |error| failed("reading its schema", error);
    let fresh = Connection::open_in_memory().map_err(doing)?;
    fresh.execute_batch(META).map_err(doing)?;
    for step in MIGRATIONS
        .iter()
        .take(usize::try_from(applied).unwrap_or(0))
    {
        fresh.execute_batch(step.sqlite).map_err(doing)?;
    }
    let (found, expected) = (
        shape(transaction).map_err(doing)?,
        shape(&fresh).map_err(doing)?,
    );
    match expected.into_iter().find(|one| !found.contains(one)) {
        None => Ok(()),
        Some((what, _)) => Err(CatalogError::Misshapen {
            path: path.to_owned(),
            schema: applied,
            what,
        }),
    }
}

/// Each table and index, with the statement that made it.
fn shape(connection: &Connection) -> rusqlite::Result<BTreeSet<(String, String)>> {
    let mut statement = connection.prepare(
        "SELECT type || ' ' || name, sql FROM sqlite_schema \
         WHERE sql IS NOT NULL AND type IN ('table', 'index')",
    )?;
    statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The schema's number; makes the `meta` table of a new file.
fn applied(transaction: &Transaction<'_>, path: &Path) -> Result<u64, CatalogError> {
    let doing = |error| failed("reading its schema", error);
    let id: i32 = transaction
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(doing)?;
    if id != APPLICATION_ID {
        let tables: i64 = transaction
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(doing)?;
        if id != 0 || tables != 0 {
            return Err(CatalogError::Foreign {
                path: path.to_owned(),
            });
        }
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(doing)?;
        transaction.execute_batch(META).map_err(doing)?;
        return Ok(0);
    }
    let text: String = transaction
        .query_row(
            "SELECT value FROM meta WHERE name = ?1",
            [meta::SCHEMA],
            |row| row.get(0),
        )
        .map_err(doing)?;
    text.parse().map_err(|error| {
        CatalogError::damaged(
            "the schema's number".to_owned(),
            Some(std::sync::Arc::<std::num::ParseIntError>::new(error)),
        )
    })
}
