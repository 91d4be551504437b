//! `GetPublicKey`: a pair's public half, for whoever verifies or encrypts elsewhere.
use model::key::EncryptionContext;
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::{
    crypto::{self, Extras},
    metadata,
};
use service::fault::{Code, Fault};
use service::keys::kms_fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetPublicKey {
    key_id: String,
    #[serde(default)]
    grant_tokens: Vec<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PublicKey {
    key_id: String,
    public_key: Blob,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    key_usage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_algorithms: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_algorithms: Option<Vec<&'static str>>,
}

impl Output for PublicKey {}

impl Action for GetPublicKey {
    const NAME: &'static str = "GetPublicKey";
    const API: Api = Api::Kms;
    const READS: bool = true;
    type Output = PublicKey;

    async fn run(self, cx: &ActionContext) -> Result<PublicKey, Fault> {
        Extras {
            tokens: &self.grant_tokens,
            ..Extras::default()
        }
        .check(cx)
        .await?;
        let none = EncryptionContext::new();
        let key = crypto::usable(cx, &self.key_id, "kms:GetPublicKey", &none).await?;
        if !key.spec.is_pair() {
            return Err(Fault::new(
                Code::KmsUnsupported,
                format!(
                    "{} has key spec {}, which has no public key.",
                    key.arn(),
                    key.spec.as_str()
                ),
            ));
        }
        let public = cx
            .service
            .kms
            .public_key(&cx.caller.account, &key)
            .await
            .map_err(kms_fault)?;
        Ok(PublicKey {
            key_id: key.arn().to_string(),
            public_key: Blob(public),
            customer_master_key_spec: key.spec.as_str(),
            key_spec: key.spec.as_str(),
            key_usage: key.usage.as_str(),
            encryption_algorithms: metadata::encryption_algorithms(&key),
            signing_algorithms: metadata::signing_algorithms(&key),
        })
    }
}
