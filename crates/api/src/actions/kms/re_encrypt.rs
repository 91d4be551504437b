//! `ReEncrypt`: from one key to another, and the secret never leaves.
use model::key::EncryptionContext;
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::crypto::{self, Extras, Sealed, material_id, unless_dry, usable};
use service::fault::Fault;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReEncrypt {
    ciphertext_blob: Blob,
    source_encryption_context: Option<EncryptionContext>,
    source_key_id: Option<String>,
    destination_key_id: String,
    destination_encryption_context: Option<EncryptionContext>,
    source_encryption_algorithm: Option<String>,
    destination_encryption_algorithm: Option<String>,
    #[serde(default)]
    grant_tokens: Vec<String>,
    dry_run: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReEncrypted {
    ciphertext_blob: Blob,
    source_key_id: String,
    key_id: String,
    source_encryption_algorithm: &'static str,
    destination_encryption_algorithm: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_key_material_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_key_material_id: Option<String>,
}

impl Output for ReEncrypted {}

impl Action for ReEncrypt {
    const NAME: &'static str = "ReEncrypt";
    const API: Api = Api::Kms;
    type Output = ReEncrypted;

    async fn run(self, cx: &ActionContext) -> Result<ReEncrypted, Fault> {
        let before = self.source_encryption_context.unwrap_or_default();
        let after = self.destination_encryption_context.unwrap_or_default();
        let from = crypto::algorithm(self.source_encryption_algorithm.as_deref())?;
        let to = crypto::algorithm(self.destination_encryption_algorithm.as_deref())?;
        Extras {
            tokens: &self.grant_tokens,
            contexts: [Some(&before), Some(&after)],
            ..Extras::default()
        }
        .check(cx)
        .await?;
        let sealed = Sealed {
            blob: &self.ciphertext_blob,
            key_id: self.source_key_id.as_deref(),
            algorithm: from,
            context: &before,
        };
        let source = sealed.key(cx, "kms:ReEncryptFrom", "ReEncrypt").await?;
        let key_id = &self.destination_key_id;
        let destination = usable(cx, key_id, "kms:ReEncryptTo", &after).await?;
        crypto::fits(&destination, to, "ReEncrypt", &after)?;
        let plain = sealed.open(cx, &source).await?;
        unless_dry(self.dry_run)?;
        let made = crypto::seal(cx, &destination, to, &plain, &after).await?;
        Ok(ReEncrypted {
            source_key_material_id: material_id(&source, &self.ciphertext_blob.0),
            destination_key_material_id: material_id(&destination, &made),
            ciphertext_blob: Blob(made),
            source_key_id: source.arn().to_string(),
            key_id: destination.arn().to_string(),
            source_encryption_algorithm: from.as_str(),
            destination_encryption_algorithm: to.as_str(),
        })
    }
}
