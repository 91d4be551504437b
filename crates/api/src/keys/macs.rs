//! What GenerateMac and VerifyMac share: the key and the algorithm, checked.
//!
//! Source: GenerateMac and VerifyMac in the AWS KMS API reference.
use model::{
    Key,
    key::EncryptionContext,
    key_spec::{KeyUsage, MacAlgorithm},
};
use wire::json::Blob;

use super::{
    checks,
    crypto::{self, Extras, unless_dry},
    signing,
};
use crate::action::ActionContext;
use service::fault::Fault;

/// What both take.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) message: &'a Blob,
    pub(crate) algorithm: &'a str,
    pub(crate) tokens: &'a [String],
    pub(crate) dry_run: Option<bool>,
}

impl Asked<'_> {
    /// The key, ready for it, and how the code is made.
    pub(crate) async fn check(
        self,
        cx: &ActionContext,
        action: &'static str,
        operation: &str,
    ) -> Result<(Key, MacAlgorithm), Fault> {
        signing::message_length(self.message)?;
        Extras {
            tokens: self.tokens,
            ..Extras::default()
        }
        .check(cx)
        .await?;
        let none = EncryptionContext::new();
        let key = crypto::usable(cx, self.key_id, action, &none).await?;
        checks::used_for(&key, KeyUsage::GenerateVerifyMac, operation)?;
        let algorithm = MacAlgorithm::parse(self.algorithm)
            .filter(|algorithm| key.spec.mac_algorithm() == Some(*algorithm))
            .ok_or_else(|| checks::incompatible(&key, &model::limits::echo(self.algorithm)))?;
        unless_dry(self.dry_run)?;
        Ok((key, algorithm))
    }
}
