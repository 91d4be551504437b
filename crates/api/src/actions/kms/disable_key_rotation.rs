//! `DisableKeyRotation`: the key keeps the material it has.
use serde::Deserialize;

use crate::action::{Action, ActionContext, Api};
use crate::keys::{checks, lookup};
use service::{fault::Fault, keys::Keys, keys::kms_fault};

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

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        lookup::change(cx, &self.key_id, "kms:DisableKeyRotation", |key, _| {
            checks::rotates(key)?;
            checks::not_replica(key)?;
            Keys::usable(key).map_err(kms_fault)?;
            key.rotation = None;
            Ok(())
        })
        .await
        .map(drop)
    }
}
