//! `GenerateDataKey`: a fresh data key, in clear for its use and wrapped for its keeping.
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::crypto::{DataKeyInput, material_id};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct GenerateDataKey(DataKeyInput);

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Generated {
    ciphertext_blob: Blob,
    plaintext: Blob,
    key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<String>,
}

impl Output for Generated {}

impl Action for GenerateDataKey {
    const NAME: &'static str = "GenerateDataKey";
    const API: Api = Api::Kms;
    type Output = Generated;

    async fn run(self, cx: &ActionContext) -> Result<Generated, Fault> {
        let made = self.0.make(cx, "kms:GenerateDataKey").await?;
        Ok(Generated {
            key_material_id: material_id(&made.key, &made.blob),
            ciphertext_blob: Blob(made.blob),
            plaintext: Blob(made.plain.to_vec()),
            key_id: made.key.arn().to_string(),
        })
    }
}
