//! Conditions: what must hold of a request for a statement to apply.
//!
//! It does not know a statement's effect; it answers unknown where it does not understand.
use std::ops::ControlFlow;

use super::{
    Request,
    pattern::{Case, Pattern, has_variable},
};

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It is not understood.
    Unknown,
}

impl From<bool> for Match {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Match {
    /// Both: a plain no decides, then the unknown.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    /// Either: a plain yes decides, then the unknown.
    pub(super) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    /// The contrary.
    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// One operator on one key with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    /// None when the operator is not known.
    operator: Option<Operator>,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operator {
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equals(Case),
    Like,
    Bool,
    /// Whether the key is absent from the request.
    Null,
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (comparison, negated) = match name {
            "StringEquals" => (Comparison::Equals(Case::Counts), false),
            "StringNotEquals" => (Comparison::Equals(Case::Counts), true),
            "StringEqualsIgnoreCase" => (Comparison::Equals(Case::Ignored), false),
            "StringNotEqualsIgnoreCase" => (Comparison::Equals(Case::Ignored), true),
            "StringLike" => (Comparison::Like, false),
            "StringNotLike" => (Comparison::Like, true),
            "Bool" => (Comparison::Bool, false),
            "Null" if !if_exists => (Comparison::Null, false),
            _ => return None,
        };
        Some(Self {
            comparison,
            negated,
            if_exists,
        })
    }
}

impl Condition {
    /// A condition as a policy has it.
    pub(super) fn new(operator: &str, key: &str, values: Vec<String>) -> Self {
        Self {
            operator: Operator::parse(operator),
            key: key.to_owned(),
            values,
        }
    }

    /// Whether it holds of a request. Where the request lacks the key: a negated comparison and
    /// one with `IfExists` hold, any other does not, as IAM has it.
    pub(super) fn holds(&self, request: &Request<'_>) -> Match {
        let (Some(operator), ControlFlow::Continue(actual)) =
            (self.operator, look_up(&self.key, request))
        else {
            return Match::Unknown;
        };
        if self.values.iter().any(|value| has_variable(value)) {
            return Match::Unknown;
        }
        if operator.comparison == Comparison::Null {
            let absent = if actual.is_none() { "true" } else { "false" };
            return self.any(|value| Match::from(value.eq_ignore_ascii_case(absent)));
        }
        let Some(actual) = actual else {
            return Match::from(operator.negated || operator.if_exists);
        };
        let found = self.any(|value| compare(operator.comparison, value, &actual));
        if operator.negated { found.not() } else { found }
    }

    fn any(&self, holds: impl Fn(&str) -> Match) -> Match {
        self.values
            .iter()
            .map(|value| holds(value))
            .fold(Match::No, Match::or)
    }
}

fn compare(comparison: Comparison, value: &str, actual: &str) -> Match {
    match comparison {
        Comparison::Equals(Case::Counts) => Match::from(value == actual),
        Comparison::Equals(Case::Ignored) => Match::from(value.eq_ignore_ascii_case(actual)),
        Comparison::Like => Pattern::new(value, Case::Counts).matches(actual),
        Comparison::Bool => match value.to_ascii_lowercase().as_str() {
            wanted @ ("true" | "false") => Match::from(wanted == actual),
            _ => Match::Unknown,
        },
        Comparison::Null => Match::Unknown,
    }
}

/// What a request has under a condition key; broken off when the key is not known here.
/// Condition keys' names do not care about case.
fn look_up(key: &str, request: &Request<'_>) -> ControlFlow<(), Option<String>> {
    const CONTEXT: &str = "kms:encryptioncontext:";
    let conditions = request.conditions;
    let lower = key.to_ascii_lowercase();
    ControlFlow::Continue(match lower.as_str() {
        "kms:calleraccount" | "aws:principalaccount" => {
            Some(request.principal_account.as_str().to_owned())
        }
        "kms:viaservice" => conditions.via_service.clone(),
        "kms:grantisforawsresource" => conditions
            .grant_is_for_aws_resource
            .map(|is| is.to_string()),
        _ => {
            let Some(name) = lower.strip_prefix(CONTEXT) else {
                return ControlFlow::Break(());
            };
            let mut found = conditions
                .encryption_context
                .iter()
                .filter(|(pair, _)| pair.eq_ignore_ascii_case(name));
            let value = found.next().map(|(_, value)| value.clone());
            if found.next().is_some() {
                // Two pairs whose names differ in case only: which one is meant?
                return ControlFlow::Break(());
            }
            value
        }
    })
}
