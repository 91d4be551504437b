//! Key policies that were read lately, so that a policy is parsed once and not at each check.
//!
//! It does not know whose they are: a policy is found by its own text, so none is ever out of date.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kms::policy::Policy;

/// Policies remembered at most; all are forgotten when it is full. With the largest policies
/// that is 8 MiB of text, with usual ones 0.2 MiB.
const POLICIES_MAX: usize = 256;

/// Policies by their text; none for a text that does not read.
#[derive(Debug, Default)]
pub(super) struct Policies(Mutex<HashMap<Box<str>, Option<Arc<Policy>>>>);

impl Policies {
    /// The policy that a text is; none when it does not read.
    pub(super) fn parsed(&self, text: &str) -> Option<Arc<Policy>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = known.get(text) {
            return policy.clone();
        }
        let policy = Policy::parse(text).ok().map(Arc::new);
        if POLICIES_MAX <= known.len() {
            known.clear();
        }
        known.insert(text.into(), policy.clone());
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_parsed_once_and_the_table_is_bounded() {
        let policies = Policies::default();
        let (region, account) = (
            "us-east-1".parse().unwrap(),
            "123456789012".parse().unwrap(),
        );
        let text = kms::policy::default_policy(&region, &account);
        let (one, other) = (policies.parsed(&text), policies.parsed(&text));
        assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
        for number in 0..3 * POLICIES_MAX {
            assert!(policies.parsed(&format!("no policy {number}")).is_none());
            assert!(policies.0.lock().unwrap().len() <= POLICIES_MAX);
        }
        assert!(policies.parsed(&text).is_some());
    }
}
