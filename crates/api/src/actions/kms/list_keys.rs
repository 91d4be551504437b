//! `ListKeys`.
use catalog::{CatalogExt, keys as rows};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Label, Layout, Output};
use crate::keys::checks;
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListKeys {
    limit: Option<i64>,
    marker: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct KeyListEntry {
    key_id: String,
    key_arn: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Keys {
    keys: Vec<KeyListEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Output for Keys {
    const LAYOUT: Layout = Layout::Page("Keys");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_marker.clone(),
        }
    }
}

impl Action for ListKeys {
    const NAME: &'static str = "ListKeys";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = Keys;

    async fn run(self, cx: &ActionContext) -> Result<Keys, Fault> {
        let rows_asked = checks::rows(self.limit)?;
        let (account, region, after) = (cx.caller.account.clone(), cx.region.clone(), self.marker);
        let found = cx
            .service
            .catalog
            .read(move |tx| rows::list(tx, &region, &account, after.as_deref(), rows_asked + 1))
            .await
            .map_err(|error: catalog::CatalogError| Fault::from(error))?;
        let (found, next_marker) = checks::paged(found, rows_asked, |row| row.value.id.clone());
        let keys = found
            .iter()
            .map(|row| KeyListEntry {
                key_id: row.value.id.clone(),
                key_arn: row.value.arn().to_string(),
            })
            .collect();
        Ok(Keys {
            keys,
            truncated: next_marker.is_some(),
            next_marker,
        })
    }
}
