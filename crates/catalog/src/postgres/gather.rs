//! Rows that the requests of one transaction append to ledgers, written together before its commit.
//!
//! It does not know what the rows say.
//!
//! Invariant: rows reach the database in the order in which they were appended, and before any
//! statement that names their table.
use tokio_postgres::types::ToSql;

use super::{session::Session, trouble::Trouble};
use crate::value::{Arg, Column, Ledger, Value};

/// Rows of one transaction that are still to be written.
#[derive(Default)]
pub(super) struct Gathered {
    rows: Vec<(&'static Ledger, Vec<Value>)>,
    /// Where the rows of the request under way begin.
    own: usize,
    /// How many the request under way has had to write: undone with it.
    written: usize,
}

impl Gathered {
    pub(super) fn add(&mut self, ledger: &'static Ledger, row: &[Arg<'_>]) {
        let row = row.iter().map(Value::of).collect();
        self.rows.push((ledger, row));
    }

    /// Whether a statement could meet rows that are not written yet.
    pub(super) fn concern(&self, sql: &str) -> bool {
        let waiting = self.rows.get(self.written..).unwrap_or_default();
        waiting.iter().any(|(ledger, _)| sql.contains(ledger.table))
    }

    /// The request under way is kept, with its rows.
    pub(super) fn keep(&mut self) {
        self.rows.drain(..self.written);
        self.written = 0;
        self.own = self.rows.len();
    }

    /// The request under way is undone, and what it wrote is undone with it.
    pub(super) fn undo(&mut self) {
        self.rows.truncate(self.own);
        self.written = 0;
    }

    /// Writes what waits.
    pub(super) fn write(&mut self, session: &mut Session) -> Result<(), Trouble> {
        let waiting = self.rows.get(self.written..).unwrap_or_default();
        let mut ledgers: Vec<&'static Ledger> = Vec::new();
        for (ledger, _) in waiting {
            if ledgers.iter().all(|known| known.table != ledger.table) {
                ledgers.push(*ledger);
            }
        }
        // Events come last: their numbers are drawn under a lock that is held to the commit.
        ledgers.sort_by_key(|ledger| ledger.table == "events");
        for ledger in ledgers {
            let rows: Vec<&[Value]> = waiting
                .iter()
                .filter(|(of, _)| of.table == ledger.table)
                .map(|(_, row)| row.as_slice())
                .collect();
            insert(session, ledger, &rows)?;
        }
        self.written = self.rows.len();
        Ok(())
    }
}

/// One statement for any number of rows: a column's values are one argument.
fn insert(session: &mut Session, ledger: &Ledger, rows: &[&[Value]]) -> Result<(), Trouble> {
    let mut places = Vec::with_capacity(ledger.columns.len());
    let mut args: Vec<Box<dyn ToSql + Sync + '_>> = Vec::with_capacity(ledger.columns.len());
    for (index, (_, column)) in ledger.columns.iter().enumerate() {
        let values = rows.iter().map(|row| row.get(index));
        let (kind, arg): (&str, Box<dyn ToSql + Sync + '_>) = match column {
            Column::Int => ("BIGINT", Box::new(of(values, Value::as_int))),
            Column::Text => ("TEXT", Box::new(of(values, Value::as_text))),
        };
        places.push(format!("?{}::{kind}[]", index + 1));
        args.push(arg);
    }
    let sql = format!(
        "{} SELECT * FROM unnest({})",
        ledger.head(),
        places.join(", ")
    );
    let args: Vec<&(dyn ToSql + Sync)> = args.iter().map(AsRef::as_ref).collect();
    session.execute_with(&sql, &args).map(|_| ())
}

fn of<'v, T: 'v>(
    values: impl Iterator<Item = Option<&'v Value>>,
    read: impl Fn(&'v Value) -> Option<T>,
) -> Vec<Option<T>> {
    values.map(|value| value.and_then(&read)).collect()
}
