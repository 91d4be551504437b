//! `ListSecrets`: the caller's secrets, by filters and in pages.
//!
//! Source: API_ListSecrets and API_Filter.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    clusters::rules::one_of,
    secrets::{
        lookup::{self, Found},
        shape::{SecretShape, stages},
    },
    shapes::Page,
};
use service::fault::{Code, Fault};

/// Secrets on a page, at most and when nothing is said.
const ROWS_MAX: usize = 100;

/// What secrets are filtered by: any of the values, or none of those with an exclamation mark.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct SecretFilter {
    key: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListSecrets {
    #[serde(rename = "IncludePlannedDeletion")]
    _include_planned_deletion: Option<bool>,
    max_results: Option<i64>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Vec<SecretFilter>,
    sort_order: Option<String>,
    sort_by: Option<String>,
}

/// A secret in the list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct SecretListEntry {
    #[serde(flatten)]
    secret: SecretShape,
    secret_versions_to_stages: BTreeMap<String, Vec<&'static str>>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Secrets {
    secret_list: Vec<SecretListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for Secrets {
    const LAYOUT: Layout = Layout::Page("SecretList");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListSecrets {
    const NAME: &'static str = "ListSecrets";
    const API: Api = Api::SecretsManager;
    const READS: bool = true;
    type Output = Secrets;

    async fn run(self, cx: &ActionContext) -> Result<Secrets, Fault> {
        let page = self.page()?;
        self.check()?;
        let mut found = lookup::all(cx).await?;
        self.sort(&mut found);
        let shown = found.into_iter().filter_map(|found| {
            let secret = SecretShape::of(&found);
            let is_wanted = self.filters.iter().all(|filter| filter.fits(&secret));
            is_wanted.then(|| SecretListEntry {
                secret,
                secret_versions_to_stages: stages(&found),
            })
        });
        let (secret_list, next_token) = page.cut(shown.collect(), |one| one.secret.name.clone());
        Ok(Secrets {
            secret_list,
            next_token,
        })
    }
}

impl ListSecrets {
    fn page(&self) -> Result<Page<(String, usize)>, Fault> {
        let rows = match self.max_results {
            None => ROWS_MAX,
            Some(asked) => usize::try_from(asked)
                .ok()
                .filter(|rows| (1..=ROWS_MAX).contains(rows))
                .ok_or_else(|| invalid("MaxResults must be between 1 and 100.".to_owned()))?,
        };
        let read = Page::read(None, self.next_token.as_deref());
        let after = read.map_err(|_| {
            Fault::new(
                Code::SecretInvalidNextToken,
                "The NextToken is not one that this operation returned.",
            )
        })?;
        Ok(Page { rows, ..after })
    }

    fn check(&self) -> Result<(), Fault> {
        let words = |parameter, given: &Option<String>, words: &[&str]| {
            let known = one_of(parameter, given.clone(), words);
            known.map_err(|fault| invalid(fault.message.into_owned()))
        };
        words("SortOrder", &self.sort_order, &["asc", "desc"])?;
        let orders = [
            "created-date",
            "last-accessed-date",
            "last-changed-date",
            "name",
        ];
        words("SortBy", &self.sort_by, &orders)?;
        for filter in &self.filters {
            let keys = [
                "description",
                "name",
                "tag-key",
                "tag-value",
                "primary-region",
                "owning-service",
                "all",
            ];
            words("Filters.Key", &filter.key, &keys)?;
        }
        Ok(())
    }

    /// The newest first, unless told otherwise. Nobody's looks are counted here, so that all were
    /// looked at equally long ago.
    fn sort(&self, found: &mut [Found]) {
        found.sort_by(|one, other| one.secret.name.cmp(&other.secret.name));
        match self.sort_by.as_deref() {
            Some("name" | "last-accessed-date") => {}
            Some("last-changed-date") => found.sort_by_key(|one| one.secret.changed_at),
            _ => found.sort_by_key(|one| one.secret.created_at),
        }
        if self.sort_order.as_deref() != Some("asc") {
            found.reverse();
        }
    }
}

impl SecretFilter {
    fn fits(&self, secret: &SecretShape) -> bool {
        let one = |value: &str| match value.strip_prefix('!') {
            Some(value) => !self.matches(secret, value),
            None => self.matches(secret, value),
        };
        self.values.is_empty() || self.values.iter().any(|value| one(value))
    }

    fn matches(&self, secret: &SecretShape, value: &str) -> bool {
        let begins = |text: &str| text.starts_with(value);
        let lower = value.to_lowercase();
        let begins_in_any_case = |text: &str| text.to_lowercase().starts_with(&lower);
        match self.key.as_deref() {
            Some("description") => begins_in_any_case(&secret.description),
            Some("name") => begins(&secret.name),
            Some("tag-key") => secret.tags.iter().any(|tag| begins(tag.key)),
            Some("tag-value") => secret.tags.iter().any(|tag| begins(&tag.value)),
            Some("owning-service") => begins_in_any_case(secret.owning_service),
            // No secret is replicated.
            Some("primary-region") => false,
            _ => {
                let tags = secret.tags.iter();
                let mut texts = vec![secret.name.as_str(), &secret.description];
                texts.extend(tags.flat_map(|tag| [tag.key, tag.value.as_str()]));
                let texts = texts.join(" ").to_lowercase();
                lower.split_whitespace().all(|word| texts.contains(word))
            }
        }
    }
}

fn invalid(message: String) -> Fault {
    Fault::new(Code::TaggingInvalidParameter, message)
}
