//! Reading all of a loaded cluster once, as proof that it can be.
//!
//! It does not know what is done about what cannot be read.
use std::time::Duration;

use super::{
    conf::ADMIN,
    handle::Postgres,
    session::{Session, column},
};
use crate::{EngineError, Examined, Home};

/// How long the reading of one database may take.
const READ_WAIT: Duration = Duration::from_secs(6 * 60 * 60);
/// Databases that are read at most.
const DATABASES_MAX: i64 = 10_000;
/// What was left half-dropped takes no connections, as after a crash.
const DATABASES: &str = "SELECT array_agg(datname::text ORDER BY oid) FROM \
     (SELECT datname, oid FROM pg_database \
       WHERE datallowconn AND datconnlimit <> -2 LIMIT $1) AS d";
/// Every page of every relation, by the server itself: nothing of it comes over the wire. A
/// query's text is made for each, since a database need not have a language for procedures.
/// `ts_stat` is what runs a text in every build; each text gives it one word, which is how many rows
/// there are.
const READ: &str = "SELECT count(*), coalesce(sum(CASE WHEN relkind IN ('r', 'm') \
     AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema') \
     THEN word::bigint ELSE 0 END), 0)::bigint FROM pg_class, \
     LATERAL ts_stat(format('SELECT count(*)::text::tsvector FROM ONLY %s', oid::regclass)) \
     WHERE relkind IN ('r', 'm', 't', 'S') AND relpersistence <> 't'";
const DOING: &str = "check indexes";
const HAS_CHECKS: &str =
    "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck')";
/// The extension anew, where only the server's own programs put functions. What an owner made of it may be of
/// an old version, have members that the owner added, and lie in a schema with functions of the same names:
/// these would run as the administrator. All of it is undone with the transaction.
const MAKE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
     SET LOCAL search_path = pg_catalog; \
     DROP EXTENSION IF EXISTS amcheck CASCADE; \
     CREATE EXTENSION amcheck SCHEMA pg_catalog";
/// B-trees that can be used; others the extension does not know.
const INDEXES: &str = "SELECT count(*) FROM (\
     SELECT pg_catalog.bt_index_check(c.oid::regclass, false::boolean) \
       FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_am m ON m.oid = c.relam \
      WHERE m.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' \
        AND i.indisvalid AND i.indisready OFFSET 0) AS checked";

impl Postgres {
    pub(super) async fn examine_cluster(&self, home: &Home) -> Result<Examined, EngineError> {
        let mut examined = Examined::default();
        for database in &databases(home).await? {
            let session = open(home, database).await?;
            let row = session
                .row_within(READ_WAIT, "read every relation", READ, &[])
                .await?;
            examined.relations += counted(column(&row, 0)?);
            examined.rows += counted(column(&row, 1)?);
            examined.indexes += check_indexes(&session).await?;
            examined.databases += 1;
            session.close().await;
        }
        Ok(examined)
    }
}

/// The databases that take connections.
pub(super) async fn databases(home: &Home) -> Result<Vec<String>, EngineError> {
    let session = open(home, ADMIN).await?;
    let row = session
        .row("list its databases", DATABASES, &[&DATABASES_MAX])
        .await?;
    session.close().await;
    column(&row, 0)
}

pub(super) async fn open(home: &Home, database: &str) -> Result<Session, EngineError> {
    let opened = Session::open(home, database).await;
    opened.map_err(EngineError::from)
}

/// Checks indexes where the extension for it is installed.
async fn check_indexes(session: &Session) -> Result<u64, EngineError> {
    if !has_checks(session).await? {
        return Ok(0);
    }
    make_checks(session).await?;
    let row = session.row_within(READ_WAIT, DOING, INDEXES, &[]).await?;
    unmake_checks(session).await?;
    Ok(counted(column(&row, 0)?))
}

/// Whether the extension for it is installed.
pub(super) async fn has_checks(session: &Session) -> Result<bool, EngineError> {
    let row = session.row(DOING, HAS_CHECKS, &[]).await?;
    column(&row, 0)
}

/// Begins a transaction in which the extension is in `pg_catalog`, in the version that the server comes with.
///
/// # Errors
/// What the server answers when it cannot be brought there: then nothing of it may be called.
pub(super) async fn make_checks(session: &Session) -> Result<(), EngineError> {
    session.run("bring amcheck to pg_catalog", MAKE).await
}

/// Ends the transaction, and leaves the database as it was.
pub(super) async fn unmake_checks(session: &Session) -> Result<(), EngineError> {
    session.run(DOING, "ROLLBACK").await
}

pub(super) fn counted(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schema that is looked up may be the owner's.
    #[test]
    fn only_the_catalogs_own_functions_check_indexes() {
        assert!(INDEXES.contains("pg_catalog.bt_index_check(c.oid::regclass, false::boolean)"));
        assert!(!INDEXES.contains("extnamespace"));
        let (drop, make) = (MAKE.find("DROP EXTENSION"), MAKE.find("CREATE EXTENSION"));
        assert!(drop.is_some() && drop < make && !MAKE.contains("IF NOT EXISTS"));
    }
}
