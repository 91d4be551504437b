//! What is asked of a cluster that was restored for a test, and what it answers.
//!
//! It knows no particular database.
use std::time::Duration;

use model::Timestamp;

/// A question to one database, which is answered by somebody who can change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The database; none: the engine's own first one.
    pub database: Option<String>,
    /// How long the answer may take.
    pub wait: Duration,
    /// What is asked.
    pub what: Asked,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A query.
    Sql(String),
    /// How many seconds before a moment the newest time of a column is.
    Age {
        /// The table, by its schema if that is said, and its name.
        table: Vec<String>,
        /// The column.
        column: String,
        /// The moment.
        at: Timestamp,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// As many rows.
    Rows {
        /// How many.
        count: u64,
        /// The first column of the first one, as text; none of null, too.
        first: Option<String>,
    },
    /// It was not answered, or the answer was cut off, for this reason.
    Ended(String),
}

/// A look at a cluster's own structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspection {
    /// Indexes against their tables, and what tables consist of.
    Structure,
    /// That pages have checksums, and all that were read are right.
    Checksums,
}

/// What an inspection found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Whether all is as it should be.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

impl Inspected {
    /// All is as it should be.
    pub fn good(found: String) -> Self {
        Self {
            passed: true,
            found,
        }
    }

    /// It is not.
    pub fn bad(found: String) -> Self {
        Self {
            passed: false,
            found,
        }
    }
}
