//! `ListAliases`, all or one key's.
use catalog::{CatalogExt, keys as rows};
use serde::{Deserialize, Serialize};

use super::shared;
use crate::{
    action::{Action, Api, Cx, Label, Layout, Output},
    fault::Fault,
};

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
    target_key_id: String,
    creation_date: f64,
    last_updated_date: f64,
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

    async fn run(self, cx: &Cx) -> Result<Aliases, Fault> {
        let rows_asked = shared::rows(self.limit)?;
        let key = match &self.key_id {
            Some(key_id) => Some(shared::find(cx, key_id, "kms:ListAliases").await?.id),
            None => None,
        };
        let (account, region, after) = (cx.caller.account.clone(), cx.region.clone(), self.marker);
        let found = cx
            .core
            .catalog
            .read(move |tx| {
                rows::list_aliases(
                    tx,
                    &region,
                    &account,
                    key.as_deref(),
                    after.as_deref(),
                    rows_asked + 1,
                )
            })
            .await
            .map_err(|error: catalog::CatalogError| Fault::from(error))?;
        let (found, next_marker) = shared::paged(found, rows_asked, |alias| alias.name.clone());
        let aliases = found
            .iter()
            .map(|alias| AliasListEntry {
                alias_arn: alias.arn().to_string(),
                alias_name: alias.name.clone(),
                target_key_id: alias.key_id.clone(),
                creation_date: shared::seconds(alias.created_at),
                last_updated_date: shared::seconds(alias.updated_at),
            })
            .collect();
        Ok(Aliases {
            aliases,
            truncated: next_marker.is_some(),
            next_marker,
        })
    }
}
