//! The schema and how an older one is brought up to date.
//!
//! It does not know what the tables are for.
use std::sync::Arc;

use super::{error::SessionError, session::Session, url::Place};
use crate::{error::CatalogError, migrations::MIGRATIONS, tables::meta, value::args};

/// Held while the schema is looked at and changed: "SNFR".
const LOCK: i64 = 0x534E_4652;

/// Applies the migrations that a database lacks, in one transaction. Processes that open a new
/// database at once wait for each other here.
pub(super) fn migrate(session: &mut Session, place: &Place) -> Result<(), SessionError> {
    // Many rows take their time, and whoever waits for them does.
    session.patient(&format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
         SELECT pg_advisory_xact_lock({LOCK})"
    ))?;
    let migrated = apply(session, place);
    session.simple(if migrated.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    })?;
    if let Some((from, to)) = migrated? {
        tracing::info!(catalog = %place.shown.display(), from, to, "the catalog's schema is up to date");
    }
    Ok(())
}

fn apply(session: &mut Session, place: &Place) -> Result<Option<(u64, usize)>, SessionError> {
    let applied = applied(session, place)?;
    let known = MIGRATIONS.len();
    let Some(missing) = usize::try_from(applied)
        .ok()
        .and_then(|applied| MIGRATIONS.get(applied..))
    else {
        return Err(SessionError::Failed(CatalogError::NewerSchema {
            path: place.shown.clone(),
            found: applied,
            known: known as u64,
        }));
    };
    if missing.is_empty() {
        return Ok(None);
    }
    for step in missing {
        session.patient(step.postgres)?;
    }
    session.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        args![meta::SCHEMA, known.to_string()],
    )?;
    Ok(Some((applied, known)))
}

/// The schema's number; makes the `meta` table of an empty database.
fn applied(session: &mut Session, place: &Place) -> Result<u64, SessionError> {
    let tables = session.query(
        "SELECT table_name::text FROM information_schema.tables \
         WHERE table_schema = current_schema() ORDER BY 1",
        &[],
    )?;
    let foreign = || {
        SessionError::Failed(CatalogError::Foreign {
            path: place.shown.clone(),
        })
    };
    if tables.is_empty() {
        session.simple(
            "CREATE TABLE meta (name TEXT COLLATE \"C\" NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
        )?;
        return Ok(0);
    }
    let has = |name: &str| {
        tables
            .iter()
            .any(|row| row.text(0).is_ok_and(|found| found == name))
    };
    if !has("meta") || !has("writers") {
        return Err(foreign());
    }
    let rows = session.query(
        "SELECT value FROM meta WHERE name = ?1",
        args![meta::SCHEMA],
    )?;
    let row = rows.first().ok_or_else(foreign)?;
    row.text(0)
        .map_err(SessionError::Failed)?
        .parse()
        .map_err(|error| {
            SessionError::Failed(CatalogError::damaged(
                "the schema's number".to_owned(),
                Some(Arc::<std::num::ParseIntError>::new(error)),
            ))
        })
}
