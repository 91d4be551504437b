//! An event subscription: which events go to which topic.
use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    ids::{Account, Region},
    names::SubscriptionName,
    tag::Tag,
};

/// An event subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// Its name, unique in region and account.
    pub name: SubscriptionName,
    /// The topic's ARN; the settings say where it leads.
    pub topic: String,
    /// Events of sources of this type; none: of all.
    pub source_type: Option<String>,
    /// Events of these categories; none: of all.
    pub categories: Vec<String>,
    /// Events of the sources of these names; none: of all.
    pub sources: Vec<String>,
    /// Whether anything is delivered.
    pub enabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl Subscription {
    /// `arn:…:es:<name>`.
    pub fn arn(&self) -> Arn {
        Arn::of(
            Kind::Subscription,
            &self.region,
            &self.account,
            self.name.as_str(),
        )
    }

    /// Whether an event of this source, with these categories, is meant.
    pub fn wants(&self, source_type: &str, source: &str, categories: &[String]) -> bool {
        let fits = |wanted: &[String], given: &str| {
            wanted.is_empty() || wanted.iter().any(|one| one.eq_ignore_ascii_case(given))
        };
        let of_type = self.source_type.as_deref();
        self.enabled
            && of_type.is_none_or(|of_type| of_type == source_type)
            && fits(&self.sources, source)
            && (self.categories.is_empty()
                || categories.iter().any(|one| fits(&self.categories, one)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_wants_what_fits_all_that_it_says() {
        let mut one = Subscription {
            region: "us-east-1".parse().expect("a region"),
            account: "000000000000".parse().expect("digits"),
            name: SubscriptionName::parse("Mine").expect("a name"),
            topic: "arn:aws:sns:us-east-1:000000000000:t".to_owned(),
            source_type: None,
            categories: Vec::new(),
            sources: Vec::new(),
            enabled: true,
            created_at: Timestamp(1),
            tags: Vec::new(),
        };
        let backup = ["backup".to_owned()];
        assert!(one.wants("db-cluster", "a", &backup));
        one.source_type = Some("db-cluster".to_owned());
        assert!(one.wants("db-cluster", "a", &backup) && !one.wants("db-instance", "a", &backup));
        one.sources = vec!["a".to_owned()];
        assert!(one.wants("db-cluster", "a", &backup) && !one.wants("db-cluster", "b", &backup));
        one.categories = vec!["failure".to_owned()];
        assert!(!one.wants("db-cluster", "a", &backup));
        assert!(one.wants("db-cluster", "a", &["failure".to_owned()]));
        one.enabled = false;
        assert!(!one.wants("db-cluster", "a", &["failure".to_owned()]));
    }
}
