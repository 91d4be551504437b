//! `AddTagsToResource`: lays tags over those that a cluster or a snapshot has.
use model::tag;
use serde::Deserialize;

use crate::shapes::tagged::{self, ResourceTags};
use crate::{
    action::{Action, ActionContext, Api},
    shapes::{self, Tag},
};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AddTagsToResource {
    resource_name: String,
    tags: Vec<Tag>,
}

impl Action for AddTagsToResource {
    const NAME: &'static str = "AddTagsToResource";
    const API: Api = Api::Rds;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let resource = ResourceTags::parse(&self.resource_name, cx)?;
        let added = shapes::to_records(&self.tags)?;
        tagged::change(cx, resource, move |tags| {
            tag::merge(tags, &added).map_err(shapes::tag_fault)
        })
        .await
    }
}
