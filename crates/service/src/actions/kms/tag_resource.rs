//! `TagResource`: adds tags to a key, or gives theirs other values.
use serde::Deserialize;

use super::shared::{self, KmsTag};
use crate::{
    action::{Action, Api, Cx},
    fault::{Code, Fault},
};

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

    async fn run(self, cx: &Cx) -> Result<(), Fault> {
        let added = shared::tags(&self.tags)?;
        shared::change(cx, &self.key_id, "kms:TagResource", move |key, _| {
            model::tag::merge(&mut key.tags, &added)
                .map_err(|_| Fault::new(Code::KmsTag, "Too many tags"))
        })
        .await
        .map(drop)
    }
}
