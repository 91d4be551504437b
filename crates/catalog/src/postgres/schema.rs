//! The schema and how an older one is brought up to date.
//!
//! It does not know what the tables are for. Migrations are numbered and only ever added.
use std::sync::Arc;

use super::{error::Trouble, session::Session, url::Place};
use crate::{error::CatalogError, tables::meta, value::args};

/// Every migration in its order; the schema's number is how many of them were applied.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_first.sql"),
    include_str!("../../migrations/postgres/0002_grants_accounts.sql"),
    include_str!("../../migrations/postgres/0003_webhooks_turns.sql"),
    include_str!("../../migrations/postgres/0004_nodes.sql"),
    include_str!("../../migrations/postgres/0005_fewer_indexes.sql"),
    include_str!("../../migrations/postgres/0006_letters_name_records.sql"),
    include_str!("../../migrations/postgres/0007_verified.sql"),
    include_str!("../../migrations/postgres/0008_index_order.sql"),
    include_str!("../../migrations/postgres/0009_link_passes.sql"),
    include_str!("../../migrations/postgres/0010_manifests_in_index.sql"),
    include_str!("../../migrations/postgres/0011_sweep_marks.sql"),
    include_str!("../../migrations/postgres/0012_keys_by_id.sql"),
    include_str!("../../migrations/postgres/0013_node_tasks.sql"),
];

/// Held while the schema is looked at and changed: "SNFR".
const LOCK: i64 = 0x534E_4652;

/// Applies the migrations that a database lacks, in one transaction. Processes that open a new
/// database at once wait for each other here.
pub(super) fn migrate(session: &mut Session, place: &Place) -> Result<(), Trouble> {
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

fn apply(session: &mut Session, place: &Place) -> Result<Option<(u64, usize)>, Trouble> {
    let applied = applied(session, place)?;
    let known = MIGRATIONS.len();
    let Some(missing) = usize::try_from(applied)
        .ok()
        .and_then(|applied| MIGRATIONS.get(applied..))
    else {
        return Err(Trouble::Failed(CatalogError::NewerSchema {
            path: place.shown.clone(),
            found: applied,
            known: known as u64,
        }));
    };
    if missing.is_empty() {
        return Ok(None);
    }
    for sql in missing {
        session.patient(sql)?;
    }
    session.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        args![meta::SCHEMA, known.to_string()],
    )?;
    Ok(Some((applied, known)))
}

/// The schema's number; makes the `meta` table of an empty database.
fn applied(session: &mut Session, place: &Place) -> Result<u64, Trouble> {
    let tables = session.query(
        "SELECT table_name::text FROM information_schema.tables \
         WHERE table_schema = current_schema() ORDER BY 1",
        &[],
    )?;
    let foreign = || {
        Trouble::Failed(CatalogError::Foreign {
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
        .map_err(Trouble::Failed)?
        .parse()
        .map_err(|error| {
            Trouble::Failed(CatalogError::damaged(
                "the schema's number".to_owned(),
                Some(Arc::<std::num::ParseIntError>::new(error)),
            ))
        })
}
