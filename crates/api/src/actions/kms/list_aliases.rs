//! `ListAliases`, all or one key's.
use catalog::{CatalogExt, keys as rows};
use model::Arn;
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Label, Layout, Output};
use crate::keys::{checks, lookup, metadata};
use service::{fault::Fault, keys::AwsService};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListAliases {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct AliasListEntry {
    alias_name: String,
    alias_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_date: Option<f64>,
}

impl AliasListEntry {
    fn of(alias: &rows::Alias) -> Self {
        Self {
            alias_name: alias.name.clone(),
            alias_arn: alias.arn().to_string(),
            target_key_id: Some(alias.key_id.clone()),
            creation_date: Some(metadata::seconds(alias.created_at)),
            last_updated_date: Some(metadata::seconds(alias.updated_at)),
        }
    }

    /// The alias that a service has for its key, before anybody asked for that: it has no key yet.
    fn predefined(cx: &ActionContext, alias: &str) -> Self {
        Self {
            alias_name: alias.to_owned(),
            alias_arn: Arn::kms(&cx.region, &cx.caller.account, alias).to_string(),
            target_key_id: None,
            creation_date: None,
            last_updated_date: None,
        }
    }
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Aliases {
    aliases: Vec<AliasListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Output for Aliases {
    const LAYOUT: Layout = Layout::Page("Aliases");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_marker.clone(),
        }
    }
}

impl Action for ListAliases {
    const NAME: &'static str = "ListAliases";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = Aliases;

    async fn run(self, cx: &ActionContext) -> Result<Aliases, Fault> {
        let rows_asked = checks::rows(self.limit)?;
        let key = match &self.key_id {
            Some(key_id) => Some(lookup::find(cx, key_id, "kms:ListAliases").await?.id),
            None => None,
        };
        let (account, region, after) = (cx.caller.account.clone(), cx.region.clone(), self.marker);
        let mut predefined = AwsService::ALL.map(AwsService::alias).to_vec();
        predefined
            .retain(|alias| key.is_none() && after.as_deref().is_none_or(|after| after < *alias));
        let (found, predefined) = cx
            .service
            .catalog
            .read(move |tx| {
                let (key, after) = (key.as_deref(), after.as_deref());
                let found = rows::list_aliases(tx, &region, &account, key, after, rows_asked + 1)?;
                let mut missing = Vec::new();
                for alias in &predefined {
                    if rows::get_alias(tx, &region, &account, alias)?.is_none() {
                        missing.push(*alias);
                    }
                }
                Ok((found, missing))
            })
            .await
            .map_err(|error: catalog::CatalogError| Fault::from(error))?;
        let mut entries: Vec<_> = found.iter().map(AliasListEntry::of).collect();
        for alias in predefined {
            let at = entries.partition_point(|entry| entry.alias_name.as_str() < alias);
            entries.insert(at, AliasListEntry::predefined(cx, alias));
        }
        let (aliases, next_marker) =
            checks::paged(entries, rows_asked, |entry| entry.alias_name.clone());
        Ok(Aliases {
            aliases,
            truncated: next_marker.is_some(),
            next_marker,
        })
    }
}
