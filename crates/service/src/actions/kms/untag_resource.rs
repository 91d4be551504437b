//! `UntagResource`: takes tags from a key. A tag that is not there is no error.
use serde::Deserialize;

use super::shared;
use crate::{
    action::{Action, Api, Cx},
    fault::Fault,
};

/// The input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResource {
    key_id: String,
    tag_keys: Vec<String>,
}

impl Action for UntagResource {
    const NAME: &'static str = "UntagResource";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &Cx) -> Result<(), Fault> {
        let gone = self.tag_keys;
        shared::change(cx, &self.key_id, "kms:UntagResource", move |key, _| {
            key.tags.retain(|tag| !gone.contains(&tag.key));
            Ok(())
        })
        .await
        .map(drop)
    }
}
