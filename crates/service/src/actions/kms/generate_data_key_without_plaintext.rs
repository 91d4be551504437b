//! `GenerateDataKeyWithoutPlaintext`: a fresh data key, wrapped only.
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use super::crypto::DataKeyInput;
use crate::{
    action::{Action, Api, Cx, Output},
    fault::Fault,
};

/// The input.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct GenerateDataKeyWithoutPlaintext(DataKeyInput);

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Generated {
    ciphertext_blob: Blob,
    key_id: String,
}

impl Output for Generated {}

impl Action for GenerateDataKeyWithoutPlaintext {
    const NAME: &'static str = "GenerateDataKeyWithoutPlaintext";
    const API: Api = Api::Kms;
    type Output = Generated;

    async fn run(self, cx: &Cx) -> Result<Generated, Fault> {
        let made = self
            .0
            .make(cx, "kms:GenerateDataKeyWithoutPlaintext")
            .await?;
        Ok(Generated {
            ciphertext_blob: Blob(made.blob),
            key_id: made.key.arn().to_string(),
        })
    }
}
