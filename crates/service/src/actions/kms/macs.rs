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
    crypto::{self, Extras, unless_dry},
    shared, signing,
};
use crate::{action::Cx, fault::Fault};

/// What both take.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) key_id: &'a str,
    pub(super) message: &'a Blob,
    pub(super) algorithm: &'a str,
    pub(super) tokens: &'a [String],
    pub(super) dry_run: Option<bool>,
}

impl Asked<'_> {
    /// The key, ready for it, and how the code is made.
    pub(super) async fn check(
        self,
        cx: &Cx,
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
        shared::used_for(&key, KeyUsage::GenerateVerifyMac, operation)?;
        let algorithm = MacAlgorithm::parse(self.algorithm)
            .filter(|algorithm| key.spec.mac_algorithm() == Some(*algorithm))
            .ok_or_else(|| shared::incompatible(&key, &shared::cut(self.algorithm)))?;
        unless_dry(self.dry_run)?;
        Ok((key, algorithm))
    }
}
