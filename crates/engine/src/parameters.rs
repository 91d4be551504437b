//! The settings of a database's servers, as its users see and choose them.
//!
//! It knows no particular database: each engine lists what its servers have.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The parameter of Snapferry's own that has commits wait until their log is in the vault.
pub const SYNCHRONOUS_BACKUP: &str = "snapferry.synchronous_backup";

/// What a parameter's values are.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterType {
    /// On or off.
    Boolean,
    /// A whole number from the one to the other.
    Integer(i64, i64),
    /// A number from the one to the other, as the database writes them.
    Real(String, String),
    /// Any text.
    Text,
    /// One of these words.
    Choice(Vec<String>),
    /// Some of these words, with commas between them.
    List(Vec<String>),
}

/// Words that are a yes or a no.
const YES_AND_NO: [&str; 8] = ["0", "1", "off", "on", "false", "true", "no", "yes"];

/// A parameter of an engine's servers.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it does, behind its unit.
    pub description: String,
    /// What its values are.
    pub values: ParameterType,
    /// What it is unless somebody says otherwise.
    pub default: Option<String>,
    /// What servers here have in place of that.
    pub own: Option<String>,
    /// Whether a change needs a restart.
    pub is_static: bool,
    /// Why it cannot be chosen, if it cannot.
    pub kept: Option<&'static str>,
}

impl Parameter {
    /// What may be given, in RDS's notation; none for any text.
    pub fn allowed(&self) -> Option<String> {
        match &self.values {
            ParameterType::Boolean => Some("0,1".to_owned()),
            ParameterType::Integer(least, most) => Some(format!("{least}-{most}")),
            ParameterType::Real(least, most) => Some(format!("{least}-{most}")),
            ParameterType::Text => None,
            ParameterType::Choice(words) | ParameterType::List(words) => Some(words.join(",")),
        }
    }

    /// RDS's word for its type.
    pub fn data_type(&self) -> &'static str {
        match self.values {
            ParameterType::Boolean => "boolean",
            ParameterType::Integer(..) => "integer",
            ParameterType::Real(..) => "float",
            ParameterType::Text | ParameterType::Choice(_) => "string",
            ParameterType::List(_) => "list",
        }
    }

    /// Whether a value is one of those that may be given.
    pub fn takes(&self, value: &str) -> bool {
        let is = |words: &[String], value: &str| {
            words.iter().any(|word| word.eq_ignore_ascii_case(value))
        };
        match &self.values {
            ParameterType::Boolean => YES_AND_NO.contains(&value.to_ascii_lowercase().as_str()),
            ParameterType::Integer(least, most) => value
                .parse()
                .is_ok_and(|number: i64| (*least..=*most).contains(&number)),
            ParameterType::Real(least, most) => {
                let bounds = least.parse::<f64>().ok().zip(most.parse::<f64>().ok());
                let number = value
                    .parse::<f64>()
                    .ok()
                    .filter(|number| number.is_finite());
                bounds
                    .zip(number)
                    .is_some_and(|((least, most), number)| (least..=most).contains(&number))
            }
            ParameterType::Text => !value.chars().any(char::is_control),
            ParameterType::Choice(words) => is(words, value),
            ParameterType::List(words) => value.split(',').all(|part| is(words, part.trim())),
        }
    }
}

/// A value that is wanted of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedValue {
    /// The value; none: the server's own again.
    pub value: Option<String>,
    /// Whether it is to wait for a restart, though it need not.
    pub at_restart: bool,
}

/// All that is wanted of a server, by name. What is not in it is the server's own.
pub type WantedParameters = BTreeMap<String, WantedValue>;

/// How a server stands to what is wanted of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configured {
    /// Whether something waits for a restart.
    pub waits: bool,
    /// The parameters with whose values a server did not start, so that the next one has those that
    /// the last good one had. Its words are in the log of this process.
    pub refused: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(values: ParameterType, given: &str) -> bool {
        let parameter = Parameter {
            name: "p".to_owned(),
            description: String::new(),
            values,
            default: None,
            own: None,
            is_static: false,
            kept: None,
        };
        parameter.takes(given)
    }

    #[test]
    fn values_are_those_that_are_allowed() {
        let words = || vec!["none".to_owned(), "all".to_owned()];
        let real = || ParameterType::Real("0".to_owned(), "1.79769e+308".to_owned());
        for (values, good, bad) in [
            (
                ParameterType::Boolean,
                &["0", "1", "ON", "false"][..],
                &["2", "", "o"][..],
            ),
            (
                ParameterType::Integer(-1, 64),
                &["-1", "0", "64"],
                &["65", "1.5", "8kB", "", " 1"],
            ),
            (
                real(),
                &["0", "4.0", "1e3"],
                &["-0.1", "inf", "nan", "x", ""],
            ),
            (
                ParameterType::Choice(words()),
                &["none", "ALL"],
                &["", "some"],
            ),
            (
                ParameterType::List(words()),
                &["all", "none, all"],
                &["none;all", "some", "all,"],
            ),
            (ParameterType::Text, &["any", "it's", ""], &["a\nb", "a\0"]),
        ] {
            for given in good {
                assert!(takes(values.clone(), given), "{values:?} {given}");
            }
            for given in bad {
                assert!(!takes(values.clone(), given), "{values:?} {given}");
            }
        }
    }
}
