//! Checks of one's own that a restore test makes, as a selection's overrides say them.
//!
//! It does not know how they are made, nor of which database.
use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::limits::echo;

/// What an override that is about the checks begins with.
pub const OWN: &str = "snapferry:";
/// Rows that tables have to have together.
pub const ROWS_MIN: &str = "snapferry:min-rows";
/// Questions in SQL: JSON.
pub const CHECKS: &str = "snapferry:checks";
/// Checks that need no SQL, with commas between them.
pub const BUILTIN: &str = "snapferry:builtin";

/// Checks of one selection at most.
const CHECKS_MAX: usize = 20;
/// Characters of a check's name, and bytes of its SQL, at most.
const NAME_MAX: usize = 64;
const SQL_MAX: usize = 8 << 10;
/// Bytes of a database's name, and of a value that is expected, at most.
const DATABASE_MAX: usize = 63;
const VALUE_MAX: usize = 1 << 10;
/// Bytes of all that a selection's checks say, together: each of its drills and receipts keeps them.
const TEXT_MAX: usize = 32 << 10;
/// How long a question may take, seconds, and what it may that says nothing.
const SECONDS: u64 = 60;
const SECONDS_MAX: u64 = 3_600;
const NEWEST_ROW: &str = "newest-row:";

/// What an answer has to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// At least one row.
    Nonempty,
    /// No row.
    Empty,
    /// As many rows.
    Rows(u64),
    /// The first column of the first row.
    Value(String),
    /// That one, as a number, within bounds.
    Between(Option<f64>, Option<f64>),
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// What a query answers.
    Sql {
        /// The query.
        sql: String,
        /// What it has to answer.
        expect: Expect,
    },
    /// Indexes against their tables, and tables' own structure.
    Amcheck,
    /// That pages have checksums, and all are right.
    Checksums,
    /// How old the newest row was when the recovery point was made.
    NewestRow {
        /// The table, by its schema if that is said, and its name.
        table: Vec<String>,
        /// The column that has the time.
        column: String,
        /// The age that is the highest that is good, seconds.
        age_max_secs: u64,
    },
}

/// A check that is to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WantedCheck {
    /// Its name.
    pub name: String,
    /// The database; none: the one that the cluster was made with.
    pub database: Option<String>,
    /// How long it may take, seconds.
    pub seconds: u64,
    /// What is looked at.
    pub subject: Subject,
}

// Bounds of numbers are what they were read as.
impl Eq for WantedCheck {}

impl WantedCheck {
    /// How long it may take.
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Bytes of what it says.
    fn text_bytes(&self) -> usize {
        let database = self.database.as_ref().map_or(0, String::len);
        self.name.len() + database + self.asked().len()
    }

    /// What is asked, for its receipt.
    pub fn asked(&self) -> String {
        match &self.subject {
            Subject::Sql { sql, expect } => format!("{sql} -- {}", expect.in_words()),
            Subject::Amcheck => "amcheck".to_owned(),
            Subject::Checksums => "checksums".to_owned(),
            Subject::NewestRow {
                table,
                column,
                age_max_secs,
            } => format!(
                "the newest {}.{column} is at most {age_max_secs} s older than the recovery point",
                table.join(".")
            ),
        }
    }
}

impl Expect {
    fn in_words(&self) -> String {
        let bound = |of: &Option<f64>| of.map_or_else(|| "any".to_owned(), |one| one.to_string());
        match self {
            Self::Nonempty => "at least one row".to_owned(),
            Self::Empty => "no row".to_owned(),
            Self::Rows(count) => format!("{count} rows"),
            Self::Value(value) => format!("the value {value}"),
            Self::Between(min, max) => format!("a value from {} to {}", bound(min), bound(max)),
        }
    }

    /// Whether an answer is as it has to be, and what was found. `first` is the first column of the
    /// first row, as text; none of no row, or of null.
    pub fn judge(&self, rows: u64, first: Option<&str>) -> (bool, String) {
        let number = first.and_then(|first| first.trim().parse::<f64>().ok());
        let passed = match self {
            Self::Nonempty => 0 < rows,
            Self::Empty => rows == 0,
            Self::Rows(count) => rows == *count,
            Self::Value(value) => first.is_some_and(|first| is_same(first, value)),
            Self::Between(min, max) => number.is_some_and(|number| {
                min.is_none_or(|min| min <= number) && max.is_none_or(|max| number <= max)
            }),
        };
        let found = match (self, first) {
            (Self::Value(_) | Self::Between(..), Some(first)) => {
                format!("the value {}", echo(first))
            }
            (Self::Value(_) | Self::Between(..), None) if 0 < rows => "null".to_owned(),
            _ if rows == 1 => "1 row".to_owned(),
            _ => format!("{rows} rows"),
        };
        (passed, format!("{found}; expected: {}", self.in_words()))
    }

    fn read(given: Option<&Value>) -> Result<Self, String> {
        let value = |given: &Value| match given {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(is) => Some(is.to_string()),
            _ => None,
        };
        let wrong = || {
            "expect is \"nonempty\", \"empty\", a number, {\"rows\": N}, {\"value\": V} or {\"min\": N, \"max\": N}"
                .to_owned()
        };
        let Some(given) = given else {
            return Ok(Self::Nonempty);
        };
        let read = match given {
            Value::String(word) if word == "nonempty" => Some(Self::Nonempty),
            Value::String(word) if word == "empty" => Some(Self::Empty),
            Value::Number(_) | Value::Bool(_) => value(given).map(Self::Value),
            Value::Object(members) => Self::of_members(members, value),
            _ => None,
        };
        read.ok_or_else(wrong)
    }

    fn of_members(
        members: &Map<String, Value>,
        value: impl Fn(&Value) -> Option<String>,
    ) -> Option<Self> {
        let has = |name: &str| members.contains_key(name);
        let number = |name: &str| match members.get(name) {
            None => Some(None),
            Some(given) => given.as_f64().map(Some),
        };
        match members.len() {
            1 if has("rows") => members["rows"].as_u64().map(Self::Rows),
            1 if has("value") => value(&members["value"]).map(Self::Value),
            1 if has("min") || has("max") => Some(Self::Between(number("min")?, number("max")?)),
            2 if has("min") && has("max") => Some(Self::Between(number("min")?, number("max")?)),
            _ => None,
        }
    }
}

/// Texts that are alike, numbers that are, and truth as databases write it.
fn is_same(found: &str, wanted: &str) -> bool {
    let numbers = (found.parse::<f64>(), wanted.parse::<f64>());
    let is_truth = matches!((found, wanted), ("t", "true") | ("f", "false"));
    found == wanted || is_truth || matches!(numbers, (Ok(one), Ok(other)) if one == other)
}

/// A check in SQL, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    database: Option<String>,
    sql: String,
    expect: Option<Value>,
    seconds: Option<u64>,
}

impl Written {
    fn read(self) -> Result<WantedCheck, String> {
        let name = self.name;
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
        if !(1..=NAME_MAX).contains(&name.len()) || !name.chars().all(legal) {
            return Err(format!(
                "the name {} has other than 1 to {NAME_MAX} letters, digits, spaces and -_.",
                echo(&name)
            ));
        }
        let of = |what: String| format!("the check {name}: {what}");
        if self.sql.trim().is_empty() || SQL_MAX < self.sql.len() || self.sql.contains('\0') {
            return Err(of(format!("sql has 1 to {SQL_MAX} bytes")));
        }
        let seconds = self.seconds.unwrap_or(SECONDS);
        if !(1..=SECONDS_MAX).contains(&seconds) {
            return Err(of(format!("seconds is 1 to {SECONDS_MAX}")));
        }
        if self
            .database
            .as_deref()
            .is_some_and(|one| !is_database(one))
        {
            return Err(of(format!("database has 1 to {DATABASE_MAX} bytes")));
        }
        let expect = Expect::read(self.expect.as_ref()).map_err(of)?;
        if matches!(&expect, Expect::Value(value) if VALUE_MAX < value.len()) {
            return Err(of(format!("expect's value has at most {VALUE_MAX} bytes")));
        }
        Ok(WantedCheck {
            name,
            database: self.database,
            seconds,
            subject: Subject::Sql {
                sql: self.sql,
                expect,
            },
        })
    }
}

fn is_database(name: &str) -> bool {
    (1..=DATABASE_MAX).contains(&name.len()) && !name.contains('\0')
}

/// Reads all checks that overrides ask for, whatever case their names are in.
///
/// # Errors
/// What is wrong, in words.
pub fn read(overrides: &BTreeMap<String, String>) -> Result<Vec<WantedCheck>, String> {
    let mut checks = Vec::new();
    for (name, value) in overrides {
        let known = name.to_ascii_lowercase();
        match known.as_str() {
            CHECKS => checks.extend(questions(value)?),
            BUILTIN => checks.extend(builtin(value)?),
            ROWS_MIN if value.trim().parse::<u64>().is_err() => {
                return Err(format!(
                    "{ROWS_MIN} is {}: it is a number of rows",
                    echo(value)
                ));
            }
            _ if known.starts_with(OWN) && known != ROWS_MIN => {
                return Err(format!(
                    "there is no {}: there are {ROWS_MIN}, {CHECKS} and {BUILTIN}",
                    echo(name)
                ));
            }
            _ => {}
        }
    }
    if CHECKS_MAX < checks.len() {
        return Err(format!(
            "there are {} checks: at most {CHECKS_MAX} are made",
            checks.len()
        ));
    }
    let bytes: usize = checks.iter().map(WantedCheck::text_bytes).sum();
    if TEXT_MAX < bytes {
        return Err(format!(
            "the checks have {bytes} bytes together: at most {TEXT_MAX} are kept; make views of long queries"
        ));
    }
    let mut names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(format!("two checks have the name {}", two[0])),
        None => Ok(checks),
    }
}

fn questions(value: &str) -> Result<Vec<WantedCheck>, String> {
    let written: Vec<Written> = serde_json::from_str(value)
        .map_err(|error| format!("{CHECKS} is no JSON list of checks: {error}"))?;
    written.into_iter().map(Written::read).collect()
}

fn builtin(value: &str) -> Result<Vec<WantedCheck>, String> {
    let words = value.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(one_builtin)
        .collect()
}

fn one_builtin(word: &str) -> Result<WantedCheck, String> {
    let (database, subject) = match word {
        "amcheck" => (None, Subject::Amcheck),
        "checksums" => (None, Subject::Checksums),
        _ => newest_row(word).ok_or_else(|| {
            format!(
                "{BUILTIN} has {}: there are amcheck, checksums and {NEWEST_ROW}[DATABASE/][SCHEMA.]TABLE.COLUMN<=AGE, such as {NEWEST_ROW}shop/orders.placed_at<=1h",
                echo(word)
            )
        })?,
    };
    let name = word.split_once("<=").map_or(word, |(name, _)| name);
    Ok(WantedCheck {
        name: name.to_owned(),
        database,
        seconds: SECONDS_MAX,
        subject,
    })
}

/// `newest-row:[DATABASE/][SCHEMA.]TABLE.COLUMN<=AGE`.
fn newest_row(word: &str) -> Option<(Option<String>, Subject)> {
    let (place, age) = word.strip_prefix(NEWEST_ROW)?.split_once("<=")?;
    let (database, place) = match place.split_once('/') {
        Some((database, place)) => (Some(database.to_owned()), place),
        None => (None, place),
    };
    let mut table: Vec<String> = place.split('.').map(str::to_owned).collect();
    let column = table.pop()?;
    let is_whole = (1..=2).contains(&table.len());
    let is_name = |name: &String| (1..=NAME_MAX).contains(&name.len()) && !name.contains('\0');
    let is_named = table.iter().chain([&column]).all(is_name);
    if !is_whole || !is_named || database.as_deref().is_some_and(|one| !is_database(one)) {
        return None;
    }
    let age_max_secs = seconds(age.trim())?;
    let subject = Subject::NewestRow {
        table,
        column,
        age_max_secs,
    };
    Some((database, subject))
}

/// A number with s, m, h or d behind it.
fn seconds(text: &str) -> Option<u64> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let (unit, factor) = units.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
    text.trim_end_matches(unit)
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
}

#[cfg(test)]
mod tests;
