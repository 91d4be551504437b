//! `ListResourceTags`: a key's tags.
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Label, Layout, Output};
use crate::keys::{checks, lookup, tags::ShownTag};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListResourceTags {
    key_id: String,
    limit: Option<i64>,
    marker: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Tags {
    tags: Vec<ShownTag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    truncated: bool,
}

impl Output for Tags {
    const LAYOUT: Layout = Layout::Page("Tags");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_marker.clone(),
        }
    }
}

impl Action for ListResourceTags {
    const NAME: &'static str = "ListResourceTags";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = Tags;

    async fn run(self, cx: &ActionContext) -> Result<Tags, Fault> {
        let rows_asked = checks::rows(self.limit)?;
        checks::refuse_alias(&self.key_id)?;
        let key = lookup::find_own(cx, &self.key_id, "kms:ListResourceTags").await?;
        // The marker is the number of tags before the page: a key has few.
        let skipped = match &self.marker {
            None => 0,
            Some(marker) => marker.parse::<usize>().map_err(|_| {
                Fault::new(Code::KmsInvalidMarker, "The marker is none of this list.")
            })?,
        };
        let left: Vec<model::Tag> = key.tags.into_iter().skip(skipped).collect();
        let (page, next_marker) = checks::paged(left, rows_asked, |_| {
            skipped.saturating_add(rows_asked).to_string()
        });
        Ok(Tags {
            tags: page.iter().map(ShownTag::of).collect(),
            truncated: next_marker.is_some(),
            next_marker,
        })
    }
}
