//! `UntagResources`: takes tags from up to twenty resources. A tag that is not there is no error.
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::tagging::write::{self, Change, Written};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResources {
    #[serde(rename = "ResourceARNList")]
    arns: Vec<String>,
    tag_keys: Vec<String>,
}

impl Action for UntagResources {
    const NAME: &'static str = "UntagResources";
    const API: Api = Api::Tagging;
    type Output = Written;

    async fn run(self, cx: &ActionContext) -> Result<Written, Fault> {
        if self.tag_keys.is_empty() {
            return Err(Fault::new(
                Code::TaggingInvalidParameter,
                "TagKeys needs at least one key.",
            ));
        }
        write::each(cx, &self.arns, &Change::Remove(self.tag_keys)).await
    }
}
