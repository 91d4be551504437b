//! A transaction on a session.
//!
//! It does not know where the transaction begins or ends.
use model::Timestamp;

use super::{session::Session, trouble::Trouble};
use crate::{
    error::CatalogError,
    transaction::Tx,
    value::{Arg, Row, args},
};

/// One request's view of a session.
pub(super) struct PostgresTx<'s> {
    session: &'s mut Session,
    now: Timestamp,
    /// Whether anything was written that a commit would keep.
    pub(super) changed: bool,
    /// The first statement that failed: PostgreSQL refuses all after it.
    pub(super) trouble: Option<Trouble>,
}

impl<'s> PostgresTx<'s> {
    pub(super) fn new(session: &'s mut Session, now: Timestamp) -> Self {
        Self {
            session,
            now,
            changed: false,
            trouble: None,
        }
    }

    fn note<T>(&mut self, outcome: Result<T, Trouble>) -> Result<T, CatalogError> {
        outcome.map_err(|trouble| {
            self.trouble.get_or_insert_with(|| trouble.clone());
            trouble.told()
        })
    }
}

impl Tx for PostgresTx<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, CatalogError> {
        let outcome = self.session.execute(sql, args);
        let changed = self.note(outcome)?;
        self.changed |= 0 < changed;
        Ok(changed)
    }

    fn query(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, CatalogError> {
        self.changed |= !sql.trim_start().starts_with("SELECT");
        let outcome = self.session.query(sql, args);
        self.note(outcome)
    }

    fn next_version(&mut self) -> Result<u64, CatalogError> {
        // A sequence draws for all transactions without one waiting for another. A later state
        // of a record has a higher number also here: its writer has seen the earlier commit.
        let rows = self.query("SELECT nextval('versions')", &[])?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    }

    fn version(&mut self) -> Result<u64, CatalogError> {
        let rows = self.query("SELECT last_value FROM versions", &[])?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    }

    fn raise_version(&mut self, floor: u64) -> Result<(), CatalogError> {
        self.query(
            "SELECT setval('versions', GREATEST(?1, (SELECT last_value FROM versions)))",
            args![floor.max(1)],
        )?;
        // Rows that were copied in brought their own numbers along.
        for table in ["outbox", "events"] {
            self.query(
                &format!(
                    "SELECT setval(pg_get_serial_sequence('{table}', 'seq'), \
                     GREATEST((SELECT max(seq) FROM {table}), \
                     nextval(pg_get_serial_sequence('{table}', 'seq'))))"
                ),
                &[],
            )?;
        }
        Ok(())
    }
}
