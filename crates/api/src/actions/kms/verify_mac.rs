//! `VerifyMac`: whether a code is a message's; one that is not is an error, as with KMS.
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{macs::Asked, signing};
use service::fault::{Code, Fault};
use service::keys::kms_fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VerifyMac {
    message: Blob,
    key_id: String,
    mac_algorithm: String,
    mac: Blob,
    #[serde(default)]
    grant_tokens: Vec<String>,
    dry_run: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Verified {
    key_id: String,
    mac_valid: bool,
    mac_algorithm: &'static str,
}

impl Output for Verified {}

impl Action for VerifyMac {
    const NAME: &'static str = "VerifyMac";
    const API: Api = Api::Kms;
    type Output = Verified;

    async fn run(self, cx: &ActionContext) -> Result<Verified, Fault> {
        signing::proof_length(&self.mac, "mac")?;
        let asked = Asked {
            key_id: &self.key_id,
            message: &self.message,
            algorithm: &self.mac_algorithm,
            tokens: &self.grant_tokens,
            dry_run: self.dry_run,
        };
        let (key, algorithm) = asked.check(cx, "kms:VerifyMac", "VerifyMac").await?;
        let (message, given) = (&self.message.0, &self.mac.0);
        if !cx
            .service
            .kms
            .verify_mac(&key, algorithm, message, given)
            .map_err(kms_fault)?
        {
            // KMS says no word beside the code.
            return Err(Fault::new(Code::KmsInvalidMac, ""));
        }
        Ok(Verified {
            key_id: key.arn().to_string(),
            mac_valid: true,
            mac_algorithm: algorithm.as_str(),
        })
    }
}
