//! `Decrypt`: opens what Encrypt, ReEncrypt or GenerateDataKey wrapped.
use model::key::EncryptionContext;
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::crypto::{self, Extras, Sealed, material_id, unless_dry};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Decrypt {
    ciphertext_blob: Blob,
    encryption_context: Option<EncryptionContext>,
    #[serde(default)]
    grant_tokens: Vec<String>,
    key_id: Option<String>,
    encryption_algorithm: Option<String>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    recipient: Option<serde::de::IgnoredAny>,
    dry_run: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Decrypted {
    key_id: String,
    plaintext: Blob,
    encryption_algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<String>,
}

impl Output for Decrypted {}

impl Action for Decrypt {
    const NAME: &'static str = "Decrypt";
    const API: Api = Api::Kms;
    type Output = Decrypted;

    async fn run(self, cx: &ActionContext) -> Result<Decrypted, Fault> {
        let context = self.encryption_context.unwrap_or_default();
        let algorithm = crypto::algorithm(self.encryption_algorithm.as_deref())?;
        Extras {
            tokens: &self.grant_tokens,
            contexts: [Some(&context), None],
            recipient: self.recipient.is_some(),
        }
        .check(cx)
        .await?;
        let sealed = Sealed {
            blob: &self.ciphertext_blob,
            key_id: self.key_id.as_deref(),
            algorithm,
            context: &context,
        };
        let key = sealed.key(cx, "kms:Decrypt", "Decrypt").await?;
        let plain = sealed.open(cx, &key).await?;
        unless_dry(self.dry_run)?;
        Ok(Decrypted {
            key_id: key.arn().to_string(),
            plaintext: Blob(plain.to_vec()),
            encryption_algorithm: algorithm.as_str(),
            key_material_id: material_id(&key, &self.ciphertext_blob.0),
        })
    }
}
