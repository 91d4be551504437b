//! Conditions: what must hold of a request for a statement to apply.
//!
//! It does not know a statement's effect; it answers unknown where it does not understand.
use std::ops::ControlFlow;

use super::{
    pattern::{Pattern, has_variable},
    question::Question,
    truth::Match,
};

/// One operator on one key with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    /// None when the operator is not known.
    operator: Option<Operator>,
    /// In lower case: condition keys' names do not care about case.
    key: String,
    values: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// As it is.
    Text(String),
    /// With wildcards.
    Like(Pattern),
    /// With a policy variable.
    Variable,
}

/// Whether letters' case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// It does.
    Counts,
    /// It does not, for ASCII letters.
    Ignored,
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
        let operator = Operator::parse(operator);
        let is_like = operator.is_some_and(|operator| operator.comparison == Comparison::Like);
        let value = |text: String| match text {
            text if has_variable(&text) => Value::Variable,
            text if is_like => Value::Like(Pattern::new(&text)),
            text => Value::Text(text),
        };
        Self {
            operator,
            key: key.to_ascii_lowercase(),
            values: values.into_iter().map(value).collect(),
        }
    }

    /// Whether it looks at the encryption context, or at what is not known here.
    pub(super) fn sees_context(&self) -> bool {
        self.key.starts_with("kms:encryptioncontext")
    }

    /// Whether it holds of what is asked. Where the request lacks the key: a negated comparison
    /// and one with `IfExists` hold, any other does not, as IAM has it.
    pub(super) fn holds(&self, asked: &Question<'_>) -> Match {
        let (Some(operator), ControlFlow::Continue(actual)) =
            (self.operator, look_up(&self.key, asked))
        else {
            return Match::Unknown;
        };
        if self.values.contains(&Value::Variable) {
            return Match::Unknown;
        }
        if operator.comparison == Comparison::Null {
            let absent = if actual.is_none() { "true" } else { "false" };
            return self.any(|value| match value {
                Value::Text(text) => Match::from(text.eq_ignore_ascii_case(absent)),
                _ => Match::Unknown,
            });
        }
        let Some(actual) = actual else {
            return Match::from(operator.negated || operator.if_exists);
        };
        let found = self.any(|value| compare(operator.comparison, value, actual, asked));
        if operator.negated { found.not() } else { found }
    }

    fn any(&self, holds: impl Fn(&Value) -> Match) -> Match {
        self.values.iter().map(holds).fold(Match::No, Match::or)
    }
}

fn compare(comparison: Comparison, value: &Value, actual: &str, asked: &Question<'_>) -> Match {
    let text = match value {
        Value::Like(pattern) => return pattern.matches(actual, &asked.effort),
        Value::Variable => return Match::Unknown,
        Value::Text(text) => text,
    };
    if asked
        .effort
        .spend(1 + text.len().min(actual.len()))
        .is_none()
    {
        return Match::Unknown;
    }
    match comparison {
        Comparison::Equals(Case::Counts) => Match::from(text == actual),
        Comparison::Equals(Case::Ignored) => Match::from(text.eq_ignore_ascii_case(actual)),
        Comparison::Bool => match text.to_ascii_lowercase().as_str() {
            wanted @ ("true" | "false") => Match::from(wanted == actual),
            _ => Match::Unknown,
        },
        Comparison::Like | Comparison::Null => Match::Unknown,
    }
}

/// What a request has under a condition key; broken off when the key is not known here.
fn look_up<'a>(key: &str, asked: &'a Question<'_>) -> ControlFlow<(), Option<&'a str>> {
    const CONTEXT: &str = "kms:encryptioncontext:";
    ControlFlow::Continue(match key {
        "kms:calleraccount" | "aws:principalaccount" => {
            Some(asked.request.principal_account.as_str())
        }
        "kms:viaservice" => asked.request.conditions.via_service.as_deref(),
        "kms:grantisforawsresource" => asked
            .request
            .conditions
            .grant_is_for_aws_resource
            .map(|is| if is { "true" } else { "false" }),
        _ => {
            let Some(name) = key.strip_prefix(CONTEXT) else {
                return ControlFlow::Break(());
            };
            match asked.context.get(name) {
                None => None,
                Some(Some(value)) => Some(value),
                // Two pairs whose names differ in case only: which one is meant?
                Some(None) => return ControlFlow::Break(()),
            }
        }
    })
}
