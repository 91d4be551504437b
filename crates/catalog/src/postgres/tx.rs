//! A transaction on a session.
//!
//! It does not know where the transaction begins or ends.
use std::{cell::RefCell, collections::VecDeque};

use model::Timestamp;

use super::{clock::ask_clock, error::SessionError, session::Session, write_buffer::Gathered};
use crate::{
    error::CatalogError,
    transaction::Tx,
    value::{AppendTable, Arg, Row, Sums, args},
};

/// What the requests of one transaction have in common.
#[derive(Default)]
pub(super) struct Shared {
    /// The transaction's moment, once it was asked for.
    pub(super) now: Option<Timestamp>,
    /// Versions that were drawn when the transaction began, after its view of the rows was fixed.
    pub(super) versions: VecDeque<u64>,
    /// Whether a version was needed.
    pub(super) drew: bool,
    /// Rows to be written before the commit.
    pub(super) gathered: Gathered,
}

/// One request's view of a session.
pub(super) struct PostgresTx<'s> {
    session: &'s mut Session,
    shared: &'s mut Shared,
    asked: RefCell<Option<Timestamp>>,
    /// Whether anything was written that a commit would keep.
    pub(super) changed: bool,
    /// The first statement that failed: PostgreSQL refuses all after it.
    pub(super) trouble: RefCell<Option<SessionError>>,
}

impl<'s> PostgresTx<'s> {
    pub(super) fn new(session: &'s mut Session, shared: &'s mut Shared) -> Self {
        Self {
            session,
            asked: RefCell::new(shared.now),
            shared,
            changed: false,
            trouble: RefCell::new(None),
        }
    }

    fn note<T>(&self, outcome: Result<T, SessionError>) -> Result<T, CatalogError> {
        outcome.map_err(|trouble| {
            self.trouble
                .borrow_mut()
                .get_or_insert_with(|| trouble.clone());
            trouble.told()
        })
    }

    /// Writes the rows that a statement would look for.
    fn write_gathered(&mut self, sql: &str) -> Result<(), CatalogError> {
        if !self.shared.gathered.concern(sql) {
            return Ok(());
        }
        let written = self.shared.gathered.write(self.session);
        self.note(written)
    }
}

impl Tx for PostgresTx<'_> {
    fn now(&self) -> Timestamp {
        // Asked of the server by the first who wants to know. Where it cannot say, the
        // transaction is void, and so is what is made of this moment.
        *self
            .asked
            .borrow_mut()
            .get_or_insert_with(|| self.note(ask_clock(self.session)).unwrap_or(Timestamp(0)))
    }

    fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, CatalogError> {
        self.write_gathered(sql)?;
        let outcome = self.session.execute(sql, args);
        let changed = self.note(outcome)?;
        self.changed |= 0 < changed;
        Ok(changed)
    }

    fn query(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, CatalogError> {
        self.write_gathered(sql)?;
        self.changed |= !sql.trim_start().starts_with("SELECT");
        let outcome = self.session.query(sql, args);
        self.note(outcome)
    }

    fn append(&mut self, table: &'static AppendTable, row: &[Arg<'_>]) -> Result<(), CatalogError> {
        self.changed = true;
        self.shared.gathered.add(table, row);
        Ok(())
    }

    fn add(&mut self, sums: &'static Sums, key: &[&str], change: i64) -> Result<(), CatalogError> {
        self.changed = true;
        self.shared.gathered.change(sums, key, change);
        Ok(())
    }

    fn sum(&mut self, sums: &'static Sums, key: &[&str]) -> Result<i64, CatalogError> {
        if let Some(sum) = self.shared.gathered.sum(sums, key) {
            return Ok(sum);
        }
        let args: Vec<Arg<'_>> = key.iter().map(|part| Arg::from(*part)).collect();
        let outcome = self.session.query(sums.get, &args);
        let rows = self.note(outcome)?;
        let kept = rows.first().map_or(Ok(0), |row| row.int(0))?;
        Ok(self.shared.gathered.know(sums, key, kept))
    }

    fn next_version(&mut self) -> Result<u64, CatalogError> {
        // A sequence draws for all transactions without one waiting for another. A later state
        // of a record has a higher number also here: its writer has seen the earlier commit.
        self.shared.drew = true;
        if let Some(drawn) = self.shared.versions.pop_front() {
            return Ok(drawn);
        }
        let rows = self.query("SELECT nextval('versions')", &[])?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    }

    fn version(&mut self) -> Result<u64, CatalogError> {
        let rows = self.query("SELECT last_value FROM versions", &[])?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    }

    fn durable_version(&mut self) -> Result<u64, CatalogError> {
        // A sequence shows what was drawn at once, and what was drawn is in the log on disk only
        // when some later commit is: this one then has something to commit.
        self.changed = true;
        self.version()
    }

    fn raise_version(&mut self, floor: u64) -> Result<(), CatalogError> {
        self.shared.versions.clear();
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
