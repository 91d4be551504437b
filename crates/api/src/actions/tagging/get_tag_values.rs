//! `GetTagValues`: the values that one tag has on the caller's resources of a region.
use serde::{Deserialize, Serialize};

use super::get_tag_keys::texts;
use crate::action::{Action, ActionContext, Api, Output};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetTagValues {
    pagination_token: Option<String>,
    key: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TagValues {
    pagination_token: String,
    tag_values: Vec<String>,
}

impl Output for TagValues {}

impl Action for GetTagValues {
    const NAME: &'static str = "GetTagValues";
    const API: Api = Api::Tagging;
    const READS: bool = true;
    type Output = TagValues;

    async fn run(self, cx: &ActionContext) -> Result<TagValues, Fault> {
        let key = self.key;
        let pick = |tag: model::Tag| (tag.key == key).then_some(tag.value);
        let (tag_values, pagination_token) =
            texts(cx, self.pagination_token.as_deref(), pick).await?;
        Ok(TagValues {
            pagination_token,
            tag_values,
        })
    }
}
