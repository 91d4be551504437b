//! `TagResources`: lays tags over those that up to twenty resources have.
use std::collections::BTreeMap;

use model::Tag;
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::tagging::write::{self, Change, Written};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TagResources {
    #[serde(rename = "ResourceARNList")]
    arns: Vec<String>,
    tags: BTreeMap<String, String>,
}

impl Action for TagResources {
    const NAME: &'static str = "TagResources";
    const API: Api = Api::Tagging;
    type Output = Written;

    async fn run(self, cx: &ActionContext) -> Result<Written, Fault> {
        let tags: Vec<Tag> = self
            .tags
            .into_iter()
            .map(|(key, value)| Tag { key, value })
            .collect();
        if tags.is_empty() {
            return Err(Fault::new(
                Code::TaggingInvalidParameter,
                "Tags needs at least one tag.",
            ));
        }
        model::tag::validate(&tags)
            .map_err(|error| Fault::new(Code::TaggingInvalidParameter, error.to_string()))?;
        write::each(cx, &self.arns, &Change::Add(tags)).await
    }
}
