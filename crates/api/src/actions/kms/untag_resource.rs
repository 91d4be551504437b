//! `UntagResource`: takes tags from a key. A tag that is not there is no error.
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::lookup;
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResource {
    key_id: String,
    tag_keys: Vec<String>,
}

impl Action for UntagResource {
    const NAME: &'static str = "UntagResource";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let gone = self.tag_keys;
        lookup::change(cx, &self.key_id, "kms:UntagResource", move |key, _| {
            key.tags.retain(|tag| !gone.contains(&tag.key));
            Ok(())
        })
        .await
        .map(drop)
    }
}
