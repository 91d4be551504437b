//! `ListAliases`, all or one key's.
use catalog::{CatalogExt, keys as rows};
use model::Arn;
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Label, Layout, Output};
use crate::keys::lookup;
use service::{fault::Fault, keys::RDS_ALIAS};

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
            creation_date: Some(lookup::seconds(alias.created_at)),
            last_updated_date: Some(lookup::seconds(alias.updated_at)),
        }
    }

    /// The alias that a service has for its key, before anybody asked for that: it has no key yet.
    fn predefined(cx: &ActionContext) -> Self {
        Self {
            alias_name: RDS_ALIAS.to_owned(),
            alias_arn: Arn::kms(&cx.region, &cx.caller.account, RDS_ALIAS).to_string(),
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
        let rows_asked = lookup::rows(self.limit)?;
        let key = match &self.key_id {
            Some(key_id) => Some(lookup::find(cx, key_id, "kms:ListAliases").await?.id),
            None => None,
        };
        let (account, region, after) = (cx.caller.account.clone(), cx.region.clone(), self.marker);
        let is_on_page = key.is_none() && after.as_deref().is_none_or(|after| after < RDS_ALIAS);
        let (found, predefined) = cx
            .service
            .catalog
            .read(move |tx| {
                let (key, after) = (key.as_deref(), after.as_deref());
                let found = rows::list_aliases(tx, &region, &account, key, after, rows_asked + 1)?;
                let missing =
                    is_on_page && rows::get_alias(tx, &region, &account, RDS_ALIAS)?.is_none();
                Ok((found, missing))
            })
            .await
            .map_err(|error: catalog::CatalogError| Fault::from(error))?;
        let mut entries: Vec<_> = found.iter().map(AliasListEntry::of).collect();
        if predefined {
            let at = found.partition_point(|alias| alias.name.as_str() < RDS_ALIAS);
            entries.insert(at, AliasListEntry::predefined(cx));
        }
        let (aliases, next_marker) =
            lookup::paged(entries, rows_asked, |entry| entry.alias_name.clone());
        Ok(Aliases {
            aliases,
            truncated: next_marker.is_some(),
            next_marker,
        })
    }
}
