//! `Verify`: whether a signature is a key's; one that is not is an error, as with KMS.
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::signing::{self, Asked};
use service::fault::{Code, Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Verify {
    key_id: String,
    message: Blob,
    message_type: Option<String>,
    signature: Blob,
    signing_algorithm: String,
    #[serde(default)]
    grant_tokens: Vec<String>,
    dry_run: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Verified {
    key_id: String,
    signature_valid: bool,
    signing_algorithm: &'static str,
}

impl Output for Verified {}

impl Action for Verify {
    const NAME: &'static str = "Verify";
    const API: Api = Api::Kms;
    type Output = Verified;

    async fn run(self, cx: &ActionContext) -> Result<Verified, Fault> {
        signing::proof_length(&self.signature, "signature")?;
        let asked = Asked {
            key_id: &self.key_id,
            message: self.message,
            message_type: self.message_type.as_deref(),
            algorithm: &self.signing_algorithm,
            tokens: &self.grant_tokens,
            dry_run: self.dry_run,
        };
        let (key, algorithm, given) = asked.check(cx, "kms:Verify", "Verify").await?;
        let (kms, caller) = (&cx.service.kms, &cx.caller.account);
        let signature = self.signature.0.clone();
        let is_its = kms.verify(caller, &key, algorithm, given, signature).await;
        if !is_its.map_err(|error| signing::fault(error, algorithm))? {
            // KMS says no word beside the code.
            return Err(Fault::new(Code::KmsInvalidSignature, ""));
        }
        Ok(Verified {
            key_id: key.arn().to_string(),
            signature_valid: true,
            signing_algorithm: algorithm.as_str(),
        })
    }
}
