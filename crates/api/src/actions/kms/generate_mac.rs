//! `GenerateMac`: a message's code by an HMAC key.
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::macs::Asked;
use service::fault::Fault;
use service::keys::kms_fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateMac {
    message: Blob,
    key_id: String,
    mac_algorithm: String,
    #[serde(default)]
    grant_tokens: Vec<String>,
    dry_run: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Generated {
    mac: Blob,
    mac_algorithm: &'static str,
    key_id: String,
}

impl Output for Generated {}

impl Action for GenerateMac {
    const NAME: &'static str = "GenerateMac";
    const API: Api = Api::Kms;
    type Output = Generated;

    async fn run(self, cx: &ActionContext) -> Result<Generated, Fault> {
        let asked = Asked {
            key_id: &self.key_id,
            message: &self.message,
            algorithm: &self.mac_algorithm,
            tokens: &self.grant_tokens,
            dry_run: self.dry_run,
        };
        let (key, algorithm) = asked.check(cx, "kms:GenerateMac", "GenerateMac").await?;
        let made = cx
            .service
            .kms
            .mac(&key, algorithm, &self.message.0)
            .map_err(kms_fault)?;
        Ok(Generated {
            mac: Blob(made),
            mac_algorithm: algorithm.as_str(),
            key_id: key.arn().to_string(),
        })
    }
}
