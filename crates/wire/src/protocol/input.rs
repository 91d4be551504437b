//! What can be wrong with a request's parameters, whichever protocol they came in.
//!
//! It does not know how the parameters were written.
use std::fmt;

use serde::de;

use crate::echo::{cut, quoted};

/// The codes of what is wrong with a request, out of AWS's "Common Errors" lists
/// (API_CommonErrors of the RDS reference and of JSON services'). Who tells callers has a row for
/// each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputCode {
    MissingParameter,
    InvalidParameterCombination,
    InvalidParameterValue,
    ValidationError,
    MalformedQueryString,
    MalformedInput,
    MissingAction,
    UnknownOperation,
}

/// Why a request cannot be read. Parameters are named as the caller wrote them:
/// `Filters.Filter.1.Name` in a form, `Filters[0].Name` in JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A parameter that must be there is not.
    #[error("the parameter {parameter} is missing")]
    Missing {
        /// Which.
        parameter: String,
    },
    /// A parameter is there more than once.
    #[error("the parameter {parameter} is given twice")]
    Twice {
        /// Which.
        parameter: String,
    },
    /// A parameter is not what it must be.
    #[error("the parameter {parameter} is {value} instead of {expected}")]
    Malformed {
        /// Which.
        parameter: String,
        /// What it is: the text in quotes, or the kind of value where the kind is wrong.
        value: String,
        /// What it must be, such as `a boolean`.
        expected: String,
    },
    /// A parameter breaks a rule of its type.
    #[error("the parameter {parameter} is refused: {reason}")]
    Refused {
        /// Which.
        parameter: String,
        /// The rule, in the type's own words.
        reason: String,
    },
    /// A member that the action does not have (JSON only; forms may carry anything).
    #[error("the member {parameter} is unknown")]
    Unknown {
        /// Which.
        parameter: String,
    },
    /// More parameters than a request may carry.
    #[error("there are more than {limit} parameters")]
    TooMany {
        /// The most allowed.
        limit: usize,
    },
    /// A parameter nests deeper than any does.
    #[error("the parameter {parameter} nests deeper than {limit} levels")]
    TooDeep {
        /// Which.
        parameter: String,
        /// The most levels allowed.
        limit: usize,
    },
    /// A form's name or value has a broken percent escape or is not UTF-8.
    #[error("{parameter} {problem}")]
    Encoding {
        /// The name as sent.
        parameter: String,
        /// `has a broken percent escape` or `is not UTF-8`.
        problem: &'static str,
    },
    /// A JSON body that is not JSON.
    #[error("the body is not JSON at line {line}, column {column}")]
    NotJson {
        /// From 1; 0 when the body ends early.
        line: usize,
        /// From 1; 0 at a line's start.
        column: usize,
    },
    /// A form that is not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// A JSON body by another method.
    #[error("a JSON body came without POST")]
    NotPost,
    /// No action is named where one must be.
    #[error("no Action is named")]
    NoAction,
    /// No operation is named in the header that must name one.
    #[error("X-Amz-Target names no operation")]
    NoTarget,
    /// No action has this method and path.
    #[error("no action has {method} {path}")]
    NoRoute {
        /// The method.
        method: String,
        /// The path as sent.
        path: String,
    },
    /// Two places name different actions.
    #[error("two actions are named: {first} and {second}")]
    TwoActions {
        /// The one that would count.
        first: String,
        /// The other.
        second: String,
    },
}

impl InputError {
    /// Its code.
    pub fn code(&self) -> InputCode {
        match self {
            Self::Missing { .. } => InputCode::MissingParameter,
            Self::Twice { .. } | Self::TwoActions { .. } => InputCode::InvalidParameterCombination,
            Self::Malformed { .. } | Self::Refused { .. } => InputCode::InvalidParameterValue,
            Self::Unknown { .. }
            | Self::TooMany { .. }
            | Self::TooDeep { .. }
            | Self::NotJson { .. } => InputCode::ValidationError,
            Self::Encoding { .. } => InputCode::MalformedQueryString,
            Self::NotUtf8 | Self::NotPost => InputCode::MalformedInput,
            Self::NoAction => InputCode::MissingAction,
            Self::NoTarget | Self::NoRoute { .. } => InputCode::UnknownOperation,
        }
    }

    /// The sentence for the caller.
    pub fn message(&self) -> String {
        match self {
            Self::Missing { parameter } => {
                format!("The request must contain the parameter {parameter}.")
            }
            Self::Twice { parameter } => format!("The parameter {parameter} is given twice."),
            Self::Malformed {
                parameter,
                value,
                expected,
            } => format!("Invalid value: expected {expected} for {parameter}, not {value}."),
            Self::Refused { parameter, reason } => {
                format!("Invalid value for {parameter}: {reason}.")
            }
            Self::Unknown { parameter } => {
                format!("The member {parameter} is not known to this action.")
            }
            Self::TooMany { limit } => {
                format!("The request carries more than {limit} parameters.")
            }
            Self::TooDeep { parameter, limit } => {
                format!("The parameter {parameter} nests deeper than {limit} levels.")
            }
            Self::Encoding { parameter, problem } => format!("{parameter} {problem}."),
            Self::NotJson { line, column } => {
                format!("The body is not valid JSON (line {line}, column {column}).")
            }
            Self::NotUtf8 => "The body is not UTF-8.".to_owned(),
            Self::NotPost => "A JSON body is sent with POST.".to_owned(),
            Self::NoAction => "The request must contain the parameter Action.".to_owned(),
            Self::NoTarget => "The X-Amz-Target header names no operation.".to_owned(),
            Self::NoRoute { method, path } => {
                format!(
                    "No operation has the method {} and the path {}.",
                    cut(method),
                    cut(path)
                )
            }
            Self::TwoActions { first, second } => format!(
                "The request names two actions: {} and {}.",
                cut(first),
                cut(second)
            ),
        }
    }
}

/// A parameter's whole name from the names of its levels, outermost first: `A.B[0].C`.
pub(super) fn join<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut whole = String::new();
    for name in names {
        if !whole.is_empty() && !name.starts_with('[') {
            whole.push('.');
        }
        whole.push_str(name);
    }
    whole
}

/// An error on its way out of a tree of parameters; each level adds its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadError {
    // Innermost first.
    path: Vec<String>,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Missing,
    Twice,
    Malformed { value: String, expected: String },
    Refused { reason: String },
    Unknown,
}

impl ReadError {
    fn new(kind: Kind) -> Self {
        Self {
            path: Vec::new(),
            kind,
        }
    }

    /// The value is `value` instead of `expected`.
    pub(super) fn malformed(value: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(Kind::Malformed {
            value: value.into(),
            expected: expected.into(),
        })
    }

    /// The value is given twice.
    pub(super) fn twice() -> Self {
        Self::new(Kind::Twice)
    }

    /// The value is of a member that no one asked for.
    pub(super) fn unknown() -> Self {
        Self::new(Kind::Unknown)
    }

    /// Adds the name of the level that the error comes out of: a member's name, or `[0]`.
    pub(super) fn under(mut self, name: &str) -> Self {
        self.path.push(cut(name));
        self
    }

    /// The error with its parameter's whole name.
    pub(super) fn into_input(self) -> InputError {
        let parameter = join(self.path.iter().rev());
        let parameter = if parameter.is_empty() {
            "the request".to_owned()
        } else {
            cut(&parameter)
        };
        match self.kind {
            Kind::Missing => InputError::Missing { parameter },
            Kind::Twice => InputError::Twice { parameter },
            Kind::Malformed { value, expected } => InputError::Malformed {
                parameter,
                value,
                expected,
            },
            Kind::Refused { reason } => InputError::Refused { parameter, reason },
            Kind::Unknown => InputError::Unknown { parameter },
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unreadable parameter: {:?}", self.kind)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self::new(Kind::Refused {
            reason: cut(&reason.to_string()),
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing).under(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::twice().under(field)
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::unknown().under(field)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::malformed(quoted(variant), format!("one of {}", expected.join(", ")))
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::malformed(kind_of(found), expected.to_string())
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::malformed(kind_of(found), expected.to_string())
    }
}

/// The kind of a value, without the value: it may be a secret in the wrong place.
fn kind_of(found: de::Unexpected<'_>) -> &'static str {
    use de::Unexpected as U;
    match found {
        U::Bool(_) => "a boolean",
        U::Unsigned(_) | U::Signed(_) | U::Float(_) => "a number",
        U::Char(_) | U::Str(_) => "a string",
        U::Seq => "a list",
        U::Map | U::StructVariant | U::NewtypeVariant | U::TupleVariant => "an object",
        U::Unit | U::Option => "null",
        _ => "something else",
    }
}
