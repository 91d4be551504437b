//! `DisableKeyRotation`: the key keeps the material it has.
use serde::Deserialize;

use super::shared;
use crate::{
    action::{Action, Api, Cx},
    fault::Fault,
    keys::Keys,
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DisableKeyRotation {
    key_id: String,
}

impl Action for DisableKeyRotation {
    const NAME: &'static str = "DisableKeyRotation";
    const API: Api = Api::Kms;
    type Output = ();

    async fn run(self, cx: &Cx) -> Result<(), Fault> {
        shared::change(cx, &self.key_id, "kms:DisableKeyRotation", |key, _| {
            shared::rotates(key)?;
            shared::not_replica(key)?;
            Keys::usable(key)?;
            key.rotation = None;
            Ok(())
        })
        .await
        .map(drop)
    }
}
