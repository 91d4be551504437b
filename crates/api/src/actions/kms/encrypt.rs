//! `Encrypt`: wraps up to 4096 bytes under a key.
use model::key::EncryptionContext;
use serde::{Deserialize, Serialize};
use wire::json::Blob;

use crate::action::{Action, ActionContext, Api, Output};
use crate::keys::crypto::{self, Extras, unless_dry, usable};
use service::{
    fault::Fault,
    keys::{KeyError, kms_fault},
};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Encrypt {
    key_id: String,
    plaintext: Blob,
    encryption_context: Option<EncryptionContext>,
    #[serde(default)]
    grant_tokens: Vec<String>,
    encryption_algorithm: Option<String>,
    dry_run: Option<bool>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Encrypted {
    ciphertext_blob: Blob,
    key_id: String,
    encryption_algorithm: &'static str,
}

impl Output for Encrypted {}

impl Action for Encrypt {
    const NAME: &'static str = "Encrypt";
    const API: Api = Api::Kms;
    type Output = Encrypted;

    async fn run(self, cx: &ActionContext) -> Result<Encrypted, Fault> {
        let length = self.plaintext.0.len();
        if !(1..=kms::PLAINTEXT_BYTES_MAX).contains(&length) {
            return Err(kms_fault(KeyError::Wrap(kms::WrapError::Length(length))));
        }
        let context = self.encryption_context.unwrap_or_default();
        let algorithm = crypto::algorithm(self.encryption_algorithm.as_deref())?;
        Extras {
            tokens: &self.grant_tokens,
            contexts: [Some(&context), None],
            ..Extras::default()
        }
        .check(cx)
        .await?;
        let key = usable(cx, &self.key_id, "kms:Encrypt", &context).await?;
        crypto::fits(&key, algorithm, "Encrypt", &context)?;
        unless_dry(self.dry_run)?;
        let made = crypto::seal(cx, &key, algorithm, &self.plaintext.0, &context).await?;
        Ok(Encrypted {
            ciphertext_blob: Blob(made),
            key_id: key.arn().to_string(),
            encryption_algorithm: algorithm.as_str(),
        })
    }
}
