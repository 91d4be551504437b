//! What goes into statements and comes out of them, whichever database runs them.
//!
//! It does not know any database's driver.
use std::{fmt, sync::OnceLock};

use model::{Account, Hash, JobId, Region, Timestamp, VolumeRef};

use crate::error::CatalogError;

/// A statement's argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg<'a> {
    /// NULL.
    Null,
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(&'a str),
    /// TEXT that had to be made first.
    Made(String),
    /// BLOB.
    Blob(&'a [u8]),
}

impl From<i64> for Arg<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Arg<'_> {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u64> for Arg<'_> {
    /// Counters and limits: none comes near the end of BIGINT, where this saturates.
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Arg<'_> {
    /// Limits: saturates at the end of BIGINT.
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for Arg<'_> {
    fn from(moment: Timestamp) -> Self {
        Self::Int(moment.0)
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Arg<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl From<String> for Arg<'_> {
    fn from(text: String) -> Self {
        Self::Made(text)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Blob(bytes)
    }
}

impl<'a> From<&'a Region> for Arg<'a> {
    fn from(region: &'a Region) -> Self {
        Self::Text(region.as_str())
    }
}

impl<'a> From<&'a Account> for Arg<'a> {
    fn from(account: &'a Account) -> Self {
        Self::Text(account.as_str())
    }
}

impl From<&VolumeRef> for Arg<'_> {
    fn from(volume: &VolumeRef) -> Self {
        Self::Made(volume.to_string())
    }
}

impl From<Hash> for Arg<'_> {
    fn from(hash: Hash) -> Self {
        Self::Made(hash.to_string())
    }
}

impl From<JobId> for Arg<'_> {
    fn from(id: JobId) -> Self {
        Self::Made(id.to_string())
    }
}

impl<'a, T: Into<Arg<'a>>> From<Option<T>> for Arg<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A list of arguments from values of different types.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::value::Arg::from($value)),*] };
}
pub(crate) use args;

/// A table whose rows are added and not looked for at once: see [`crate::Tx::append`].
#[derive(Debug)]
pub struct AppendTable {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [(&'static str, Column)],
    insert: OnceLock<String>,
}

/// What a table's column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Int,
    Text,
}

impl AppendTable {
    pub(crate) const fn new(
        table: &'static str,
        columns: &'static [(&'static str, Column)],
    ) -> Self {
        Self {
            table,
            columns,
            insert: OnceLock::new(),
        }
    }

    /// `INSERT INTO table (…)`.
    pub(crate) fn head(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("INSERT INTO {} ({})", self.table, names.join(", "))
    }

    /// The statement that adds one row.
    pub(crate) fn insert(&self) -> &str {
        self.insert.get_or_init(|| {
            let places: Vec<String> = (1..=self.columns.len()).map(|n| format!("?{n}")).collect();
            format!("{} VALUES ({})", self.head(), places.join(", "))
        })
    }
}

/// A table of sums that many transactions change: see [`crate::Tx::add`].
#[derive(Debug)]
pub struct Sums {
    pub(crate) table: &'static str,
    /// The query of one sum; its arguments are the sum's key.
    pub(crate) get: &'static str,
    /// The statement that changes one, or makes it; its last argument is the change.
    pub(crate) add: &'static str,
}

/// A column's value in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

impl Value {
    /// An argument as a value of its own.
    pub(crate) fn of(arg: &Arg<'_>) -> Self {
        match arg {
            Arg::Null => Self::Null,
            Arg::Int(number) => Self::Int(*number),
            Arg::Text(text) => Self::Text((*text).to_owned()),
            Arg::Made(text) => Self::Text(text.clone()),
            Arg::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }

    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// One row of an answer; columns by their position in the SELECT.
#[derive(Clone, PartialEq, Eq)]
pub struct Row(Vec<Value>);

impl fmt::Debug for Row {
    /// Rows hold sealed secrets: only the shape is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row of {} columns", self.0.len())
    }
}

impl Row {
    /// A row as a database read it.
    pub fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// The first columns as arguments.
    pub(crate) fn args(&self, columns: usize) -> Vec<Arg<'_>> {
        let arg = |value| match value {
            &Value::Null => Arg::Null,
            &Value::Int(number) => Arg::Int(number),
            Value::Text(text) => Arg::Text(text),
            Value::Blob(bytes) => Arg::Blob(bytes),
        };
        self.0.iter().take(columns).map(arg).collect()
    }

    /// Hands on what the row holds, such that different rows are different sequences.
    pub(crate) fn feed(&self, into: &mut dyn FnMut(&[u8])) {
        for value in &self.0 {
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Int(number) => (1, &number.to_le_bytes()),
                Value::Text(text) => (2, text.as_bytes()),
                Value::Blob(bytes) => (3, bytes),
            };
            into(&[kind]);
            into(&(bytes.len() as u64).to_le_bytes());
            into(bytes);
        }
    }

    fn wrong(&self, column: usize, expected: &str) -> CatalogError {
        CatalogError::damaged(
            format!("column {column} of a row, which should be {expected},"),
            None,
        )
    }

    /// TEXT.
    ///
    /// # Errors
    /// `Damaged` when the column is of another type.
    pub fn text(&self, column: usize) -> Result<&str, CatalogError> {
        self.text_or_null(column)?
            .ok_or_else(|| self.wrong(column, "a text"))
    }

    /// TEXT or NULL.
    ///
    /// # Errors
    /// `Damaged` when the column is of another type.
    pub fn text_or_null(&self, column: usize) -> Result<Option<&str>, CatalogError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "a text")),
        }
    }

    /// BIGINT.
    ///
    /// # Errors
    /// `Damaged` when the column is of another type.
    pub fn int(&self, column: usize) -> Result<i64, CatalogError> {
        self.int_or_null(column)?
            .ok_or_else(|| self.wrong(column, "a number"))
    }

    /// BIGINT or NULL.
    ///
    /// # Errors
    /// `Damaged` when the column is of another type.
    pub fn int_or_null(&self, column: usize) -> Result<Option<i64>, CatalogError> {
        match self.0.get(column) {
            Some(Value::Int(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.wrong(column, "a number")),
        }
    }

    /// A BIGINT that counts something.
    ///
    /// # Errors
    /// `Damaged` when the column is of another type or negative.
    pub fn count(&self, column: usize) -> Result<u64, CatalogError> {
        u64::try_from(self.int(column)?).map_err(|_| self.wrong(column, "a count"))
    }

    /// BLOB.
    ///
    /// # Errors
    /// `Damaged` when the column is of another type.
    pub fn blob(&self, column: usize) -> Result<&[u8], CatalogError> {
        match self.0.get(column) {
            Some(Value::Blob(bytes)) => Ok(bytes),
            _ => Err(self.wrong(column, "bytes")),
        }
    }

    /// TEXT that a type's own reader takes.
    ///
    /// # Errors
    /// `Damaged` when the column is of another type or its text is refused.
    pub fn parsed<T>(&self, column: usize) -> Result<T, CatalogError>
    where
        T: std::str::FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.text(column)?.parse().map_err(|error| {
            CatalogError::damaged(
                format!("column {column} of a row"),
                Some(std::sync::Arc::new(error)),
            )
        })
    }
}
