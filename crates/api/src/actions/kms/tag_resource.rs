//! `TagResource`: adds tags to a key, or gives theirs other values.
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{
    lookup,
    tags::{self, KmsTag},
};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct TagResource {
    key_id: String,
    tags: Vec<KmsTag>,
}

impl Action for TagResource {
    const NAME: &'static str = "TagResource";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let added = tags::tags(&self.tags)?;
        lookup::change(cx, &self.key_id, "kms:TagResource", move |key, _| {
            model::tag::merge(&mut key.tags, &added)
                .map_err(|_| Fault::new(Code::KmsTag, "Too many tags"))
        })
        .await
        .map(drop)
    }
}
