//! `RemoveTagsFromResource`. Keys that are not there are no fault.
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::shapes::tagged::{self, ResourceTags};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RemoveTagsFromResource {
    resource_name: String,
    tag_keys: Vec<String>,
}

impl Action for RemoveTagsFromResource {
    const NAME: &'static str = "RemoveTagsFromResource";
    const API: Api = Api::Rds;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let resource = ResourceTags::parse(&self.resource_name, cx)?;
        let keys = self.tag_keys;
        tagged::change(cx, resource, move |tags| {
            tags.retain(|tag| !keys.contains(&tag.key));
            Ok(())
        })
        .await
    }
}
