//! A transaction on a SQLite connection.
//!
//! It does not know where the transaction begins or ends.
use std::sync::Arc;

use model::Timestamp;
use rusqlite::{
    Connection, ErrorCode, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use crate::{
    error::{CatalogError, ErrorKind},
    transaction::Tx,
    value::{Arg, Row, Value, args},
};

/// One request's view of the connection.
pub(super) struct SqliteTx<'c> {
    pub(super) connection: &'c Connection,
    pub(super) now: Timestamp,
}

impl Tx for SqliteTx<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, CatalogError> {
        let running = |error| failed("running a statement", error);
        let mut statement = self.connection.prepare_cached(sql).map_err(running)?;
        let changed = statement.execute(params_from_iter(args)).map_err(running)?;
        Ok(changed as u64)
    }

    fn query(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, CatalogError> {
        let running = |error| failed("running a query", error);
        let mut statement = self.connection.prepare_cached(sql).map_err(running)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(args)).map_err(running)?;
        let mut answer = Vec::new();
        while let Some(row) = rows.next().map_err(running)? {
            let values = (0..columns)
                .map(|column| read(row.get_ref(column).map_err(running)?))
                .collect::<Result<_, CatalogError>>()?;
            answer.push(Row::new(values));
        }
        Ok(answer)
    }

    fn next_version(&mut self) -> Result<u64, CatalogError> {
        let rows = self.query(
            "INSERT INTO counters (name, value) VALUES ('version', 1) \
             ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            &[],
        )?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    }

    fn version(&mut self) -> Result<u64, CatalogError> {
        let rows = self.query("SELECT value FROM counters WHERE name = 'version'", &[])?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    }

    fn raise_version(&mut self, floor: u64) -> Result<(), CatalogError> {
        self.execute(
            "INSERT INTO counters (name, value) VALUES ('version', ?1) \
             ON CONFLICT (name) DO UPDATE SET value = max(excluded.value, counters.value)",
            args![floor],
        )?;
        Ok(())
    }
}

fn read(value: ValueRef<'_>) -> Result<Value, CatalogError> {
    let damaged = |what: &str| CatalogError::damaged(what.to_owned(), None);
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Text(bytes) => Value::Text(
            std::str::from_utf8(bytes)
                .map_err(|_| damaged("a text that is not UTF-8"))?
                .to_owned(),
        ),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        ValueRef::Real(_) => return Err(damaged("a floating-point number")),
    })
}

impl ToSql for Arg<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Made(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Sorts what SQLite said by what can be done about it.
pub(super) fn failed(doing: &'static str, error: rusqlite::Error) -> CatalogError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => return CatalogError::Busy,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return CatalogError::corrupt(format!("{error}, while {doing}"));
        }
        Some(
            ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure,
        ) => ErrorKind::Repair,
        _ => ErrorKind::Report,
    };
    CatalogError::Failed {
        doing,
        kind,
        source: Arc::new(error),
    }
}
