//! What the requests of one transaction append to ledgers and add to sums, written together before
//! its commit.
//!
//! It does not know what the rows and the sums say.
//!
//! Invariant: rows reach the database in the order in which they were appended, and rows and sums
//! before any statement that names their table.
use tokio_postgres::types::ToSql;

use super::{error::SessionError, session::Session};
use crate::value::{AppendTable, Arg, Column, Sums, Value};

/// A sum, as this transaction sees it.
#[derive(Clone)]
struct Sum {
    of: &'static Sums,
    key: Vec<String>,
    /// What the database has, once it was asked.
    there: Option<i64>,
    /// What requests that are kept have changed and is still to be written.
    kept: i64,
    /// What the request under way has.
    own: i64,
}

/// What one transaction is still to write.
#[derive(Default)]
pub(super) struct Gathered {
    rows: Vec<(&'static AppendTable, Vec<Value>)>,
    /// Where the rows of the request under way begin.
    own: usize,
    /// How many the request under way has had to write: undone with it.
    written: usize,
    sums: Vec<Sum>,
    /// The sums as they were before the request under way had to write them.
    sums_before: Option<Vec<Sum>>,
}

impl Gathered {
    pub(super) fn add(&mut self, table: &'static AppendTable, row: &[Arg<'_>]) {
        let row = row.iter().map(Value::of).collect();
        self.rows.push((table, row));
    }

    /// Changes a sum.
    pub(super) fn change(&mut self, of: &'static Sums, key: &[&str], change: i64) {
        self.entry(of, key).own += change;
    }

    /// A sum that the database was asked for before.
    pub(super) fn sum(&mut self, of: &'static Sums, key: &[&str]) -> Option<i64> {
        let sum = self.entry(of, key);
        sum.there.map(|there| there + sum.kept + sum.own)
    }

    /// Notes what the database has; answers the sum as this transaction sees it.
    pub(super) fn know(&mut self, of: &'static Sums, key: &[&str], there: i64) -> i64 {
        let sum = self.entry(of, key);
        sum.there = Some(there);
        there + sum.kept + sum.own
    }

    fn entry(&mut self, of: &'static Sums, key: &[&str]) -> &mut Sum {
        let place = self
            .sums
            .iter()
            .position(|sum| sum.of.table == of.table && sum.key == key)
            .unwrap_or_else(|| {
                self.sums.push(Sum {
                    of,
                    key: key.iter().map(|part| (*part).to_owned()).collect(),
                    there: None,
                    kept: 0,
                    own: 0,
                });
                self.sums.len() - 1
            });
        &mut self.sums[place]
    }

    /// Whether a statement could meet rows and sums that are not written yet.
    pub(super) fn concern(&self, sql: &str) -> bool {
        let waiting = self.rows.get(self.written..).unwrap_or_default();
        let mut changed = self.sums.iter().filter(|sum| sum.kept + sum.own != 0);
        waiting.iter().any(|(table, _)| sql.contains(table.table))
            || changed.any(|sum| sql.contains(sum.of.table))
    }

    /// The request under way is kept, with its rows.
    pub(super) fn keep(&mut self) {
        self.rows.drain(..self.written);
        self.written = 0;
        self.own = self.rows.len();
        self.sums_before = None;
        for sum in &mut self.sums {
            sum.kept += std::mem::take(&mut sum.own);
        }
    }

    /// The request under way is undone, and what it wrote is undone with it.
    pub(super) fn undo(&mut self) {
        self.rows.truncate(self.own);
        self.written = 0;
        if let Some(before) = self.sums_before.take() {
            self.sums = before;
        }
        for sum in &mut self.sums {
            sum.own = 0;
        }
    }

    /// Writes what waits.
    pub(super) fn write(&mut self, session: &mut Session) -> Result<(), SessionError> {
        for sum in self.changed() {
            let change = sum.kept + sum.own;
            let key = sum.key.iter().map(|part| part as &(dyn ToSql + Sync));
            let args: Vec<_> = key.chain([&change as &(dyn ToSql + Sync)]).collect();
            session.execute_with(sum.of.add, &args)?;
        }
        for (table, rows) in self.waiting() {
            insert(session, table, &rows)?;
        }
        self.written();
        Ok(())
    }

    /// Sums that are to be written, in one order for all writers.
    fn changed(&self) -> Vec<&Sum> {
        let mut changed: Vec<&Sum> = self
            .sums
            .iter()
            .filter(|sum| sum.kept + sum.own != 0)
            .collect();
        changed.sort_by_key(|sum| (sum.of.table, &sum.key));
        changed
    }

    /// What waits: the ledgers in the order in which they are written, each with its rows.
    fn waiting(&self) -> Vec<(&'static AppendTable, Vec<&[Value]>)> {
        let waiting = self.rows.get(self.written..).unwrap_or_default();
        let mut ledgers: Vec<(&'static AppendTable, Vec<&[Value]>)> = Vec::new();
        for (table, row) in waiting {
            match ledgers.iter_mut().find(|(of, _)| of.table == table.table) {
                Some((_, rows)) => rows.push(row),
                None => ledgers.push((table, vec![row])),
            }
        }
        // Events come last: their numbers are drawn under a lock that is held to the commit.
        ledgers.sort_by_key(|(table, _)| table.table == "events");
        ledgers
    }

    fn written(&mut self) {
        self.written = self.rows.len();
        self.sums_before.get_or_insert_with(|| self.sums.clone());
        for sum in &mut self.sums {
            let change = std::mem::take(&mut sum.kept) + std::mem::take(&mut sum.own);
            sum.there = sum.there.map(|there| there + change);
        }
    }
}

/// One statement for any number of rows: a column's values are one argument.
fn insert(
    session: &mut Session,
    table: &AppendTable,
    rows: &[&[Value]],
) -> Result<(), SessionError> {
    let mut args: Vec<Box<dyn ToSql + Sync + '_>> = Vec::with_capacity(table.columns.len());
    for (index, (_, column)) in table.columns.iter().enumerate() {
        let values = rows.iter().map(|row| row.get(index));
        args.push(match column {
            Column::Int => Box::new(of(values, Value::as_int)),
            Column::Text => Box::new(of(values, Value::as_text)),
        });
    }
    let args: Vec<&(dyn ToSql + Sync)> = args.iter().map(AsRef::as_ref).collect();
    session.execute_with(&statement(table), &args).map(|_| ())
}

fn statement(table: &AppendTable) -> String {
    let columns = (1..).zip(table.columns);
    let places: Vec<String> = columns
        .map(|(place, (_, column))| match column {
            Column::Int => format!("?{place}::BIGINT[]"),
            Column::Text => format!("?{place}::TEXT[]"),
        })
        .collect();
    format!(
        "{} SELECT * FROM unnest({})",
        table.head(),
        places.join(", ")
    )
}

fn of<'v, T: 'v>(
    values: impl Iterator<Item = Option<&'v Value>>,
    read: impl Fn(&'v Value) -> Option<T>,
) -> Vec<Option<T>> {
    values.map(|value| value.and_then(&read)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::args;

    static EVENTS: AppendTable = AppendTable::new("events", &[("at", Column::Int)]);
    static OUTBOX: AppendTable =
        AppendTable::new("outbox", &[("seq", Column::Int), ("path", Column::Text)]);

    /// The tables that wait, and the first column of each of their rows.
    fn shown(gathered: &Gathered) -> Vec<(&str, Vec<i64>)> {
        let number = |row: &&[Value]| row.first().and_then(Value::as_int).expect("a number");
        let waiting = gathered.waiting();
        waiting
            .iter()
            .map(|(table, rows)| (table.table, rows.iter().map(number).collect()))
            .collect()
    }

    fn entry(gathered: &mut Gathered, number: i64) {
        gathered.add(&OUTBOX, args![number, "a/path"]);
    }

    #[test]
    fn rows_keep_their_order_and_events_come_last() {
        let mut gathered = Gathered::default();
        gathered.add(&EVENTS, args![7_i64]);
        entry(&mut gathered, 1);
        gathered.keep();
        entry(&mut gathered, 2);
        gathered.add(&EVENTS, args![8_i64]);
        gathered.keep();
        assert_eq!(
            shown(&gathered),
            [("outbox", vec![1, 2]), ("events", vec![7, 8])]
        );
    }

    #[test]
    fn a_request_that_is_undone_takes_only_its_own_rows_along() {
        let mut gathered = Gathered::default();
        entry(&mut gathered, 1);
        gathered.keep();
        entry(&mut gathered, 2);
        gathered.undo();
        entry(&mut gathered, 3);
        gathered.keep();
        assert_eq!(shown(&gathered), [("outbox", vec![1, 3])]);
    }

    #[test]
    fn what_an_undone_request_had_to_write_for_others_waits_again() {
        let mut gathered = Gathered::default();
        entry(&mut gathered, 1);
        gathered.keep();
        entry(&mut gathered, 2);
        gathered.written();
        assert!(shown(&gathered).is_empty());
        // The savepoint takes both rows back.
        gathered.undo();
        assert_eq!(shown(&gathered), [("outbox", vec![1])]);
    }

    #[test]
    fn what_a_kept_request_wrote_is_not_written_twice() {
        let mut gathered = Gathered::default();
        entry(&mut gathered, 1);
        gathered.written();
        entry(&mut gathered, 2);
        gathered.keep();
        assert_eq!(shown(&gathered), [("outbox", vec![2])]);
        entry(&mut gathered, 3);
        gathered.undo();
        assert_eq!(shown(&gathered), [("outbox", vec![2])]);
    }

    #[test]
    fn a_statement_concerns_only_what_waits() {
        let mut gathered = Gathered::default();
        entry(&mut gathered, 1);
        assert!(gathered.concern("SELECT count(*) FROM outbox"));
        assert!(!gathered.concern("SELECT count(*) FROM events"));
        gathered.written();
        assert!(!gathered.concern("SELECT count(*) FROM outbox"));
    }

    static SUMS: Sums = Sums {
        table: "tallies",
        get: "",
        add: "",
    };
    const KEY: [&str; 2] = ["a", "b"];

    fn to_write(gathered: &Gathered) -> Vec<i64> {
        let changed = gathered.changed();
        changed.iter().map(|sum| sum.kept + sum.own).collect()
    }

    #[test]
    fn changes_of_a_sum_are_written_as_one_and_seen_at_once() {
        let mut gathered = Gathered::default();
        gathered.change(&SUMS, &KEY, 1);
        assert_eq!(gathered.sum(&SUMS, &KEY), None);
        assert_eq!(gathered.know(&SUMS, &KEY, 10), 11);
        gathered.keep();
        gathered.change(&SUMS, &KEY, 1);
        assert_eq!(gathered.sum(&SUMS, &KEY), Some(12));
        gathered.undo();
        assert_eq!(gathered.sum(&SUMS, &KEY), Some(11));
        gathered.change(&SUMS, &["another", "b"], -1);
        gathered.keep();
        assert_eq!(to_write(&gathered), [1, -1]);
        assert!(gathered.concern("SELECT * FROM tallies"));
    }

    #[test]
    fn a_sum_that_an_undone_request_had_to_write_waits_again() {
        let mut gathered = Gathered::default();
        gathered.know(&SUMS, &KEY, 10);
        gathered.change(&SUMS, &KEY, 1);
        gathered.keep();
        gathered.change(&SUMS, &KEY, 5);
        gathered.written();
        assert!(to_write(&gathered).is_empty());
        assert_eq!(gathered.sum(&SUMS, &KEY), Some(16));
        gathered.undo();
        assert_eq!(gathered.sum(&SUMS, &KEY), Some(11));
        assert_eq!(to_write(&gathered), [1]);
        // And is written once when the next one is kept.
        gathered.change(&SUMS, &KEY, 2);
        gathered.written();
        gathered.keep();
        assert_eq!(gathered.sum(&SUMS, &KEY), Some(13));
        assert!(to_write(&gathered).is_empty());
    }

    #[test]
    fn one_statement_takes_any_number_of_rows() {
        assert_eq!(
            statement(&OUTBOX),
            "INSERT INTO outbox (seq, path) SELECT * FROM unnest(?1::BIGINT[], ?2::TEXT[])"
        );
    }
}
