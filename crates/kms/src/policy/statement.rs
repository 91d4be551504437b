//! A statement: whom and what it is for, and whether it applies.
use model::Account;

use super::{
    condition::Condition,
    effort::Effort,
    pattern::Pattern,
    question::{Question, Request},
    truth::Match,
};

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    pub(super) principals: Listed<Principal>,
    /// Of lower case, as is what they are compared with.
    pub(super) actions: Listed<Pattern>,
    pub(super) resources: Listed<Pattern>,
    pub(super) conditions: Vec<Condition>,
}

/// What a statement lists: what it is for, or (`NotAction` and the like) all but what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed<T> {
    These(Vec<T>),
    AllBut(Vec<T>),
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// Whom a statement is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principal {
    /// `*`.
    Everyone,
    /// An account, its root, or a user or role of it; the partition when an ARN said it.
    Account {
        account: Account,
        partition: Option<String>,
        /// Whether the account itself is named, and not only somebody of it.
        whole: bool,
    },
    /// A service, a federation, a canonical user: none of ours.
    Stranger,
}

impl Statement {
    pub(super) fn applies(&self, asked: &Question<'_>) -> Match {
        let parts = [
            self.is_for(asked),
            self.actions.has(&asked.action, &asked.effort),
            self.resources.has(&asked.key, &asked.effort),
        ];
        let conditions = self.conditions.iter().map(|one| one.holds(asked));
        parts
            .into_iter()
            .chain(conditions)
            .fold(Match::Yes, Match::and)
    }

    fn is_for(&self, asked: &Question<'_>) -> Match {
        Match::from(match &self.principals {
            Listed::These(named) => named.iter().any(|one| one.speaks_of(asked.request)),
            // Who is excepted by the name of one of its users only may be somebody else of it.
            Listed::AllBut(named) => !named.iter().any(|one| one.is_whole_of(asked.request)),
        })
    }
}

impl Listed<Pattern> {
    fn has(&self, text: &str, effort: &Effort) -> Match {
        let any = |patterns: &[Pattern]| {
            patterns
                .iter()
                .map(|pattern| pattern.matches(text, effort))
                .fold(Match::No, Match::or)
        };
        match self {
            Self::These(patterns) => any(patterns),
            Self::AllBut(patterns) => any(patterns).not(),
        }
    }
}

impl Principal {
    fn speaks_of(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Account {
                account, partition, ..
            } => {
                account == request.principal_account
                    && partition
                        .as_ref()
                        .is_none_or(|name| name == request.key_arn.region.partition())
            }
            Self::Stranger => false,
        }
    }

    fn is_whole_of(&self, request: &Request<'_>) -> bool {
        let whole = !matches!(self, Self::Account { whole: false, .. });
        whole && self.speaks_of(request)
    }
}
