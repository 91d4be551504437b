//! `ListTagsForResource`.
use serde::{Deserialize, Serialize};

use crate::shapes::tagged::{self, ResourceTags};
use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{Filter, Tag},
};
use service::fault::Fault;

/// The input. RDS documents `Filters` as not supported.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListTagsForResource {
    resource_name: String,
    #[serde(default, rename = "Filters")]
    _filters: Vec<Filter>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Tags {
    tag_list: Vec<Tag>,
}

impl Output for Tags {
    const LAYOUT: Layout = Layout::Page("TagList");

    fn label(&self) -> Label {
        Label::Page { next: None }
    }
}

impl Action for ListTagsForResource {
    const NAME: &'static str = "ListTagsForResource";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Tags;

    async fn run(self, cx: &ActionContext) -> Result<Tags, Fault> {
        let resource = ResourceTags::parse(&self.resource_name, cx)?;
        let tags = tagged::read(cx, resource).await?;
        Ok(Tags {
            tag_list: tags.iter().map(Tag::of).collect(),
        })
    }
}
