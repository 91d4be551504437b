//! A KMS key's record, and a data key as it may be kept: wrapped.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    arn::Arn,
    clock::Timestamp,
    ids::{Account, Region},
    tag::Tag,
};

/// What a wrapped key is bound to; the same pairs are needed to unwrap it.
pub type EncryptionContext = BTreeMap<String, String>;

/// A data key as KMS gave it: useless without the KMS key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// The KMS key's ARN.
    pub key: Arn,
    /// KMS's ciphertext blob.
    #[serde(with = "hex")]
    pub blob: Vec<u8>,
    /// What it is bound to.
    pub context: EncryptionContext,
}

/// Who manages a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyManager {
    /// The service: `alias/aws/rds`.
    Aws,
    /// The account.
    Customer,
}

/// Where a key stands. KMS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    /// Can be used.
    Enabled,
    /// Cannot, until it is enabled.
    Disabled,
    /// Cannot, and will be gone at its deletion date.
    PendingDeletion,
}

impl KeyState {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion => "PendingDeletion",
        }
    }
}

/// A symmetric ENCRYPT_DECRYPT key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// A UUID.
    pub id: String,
    /// Where it stands.
    pub state: KeyState,
    /// Who manages it.
    pub manager: KeyManager,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it will be gone, while PendingDeletion.
    pub deletion_at: Option<Timestamp>,
    /// As given.
    pub description: String,
    /// The key policy, a JSON document as given or the default one.
    pub policy: String,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The key material, sealed by the master key and bound to the key's ARN.
    #[serde(with = "hex")]
    pub sealed_material: Vec<u8>,
}

impl Key {
    /// `arn:…:key/<id>`.
    pub fn arn(&self) -> Arn {
        Arn::kms(&self.region, &self.account, &format!("key/{}", self.id))
    }
}

/// Bytes as hexadecimal text in JSON documents.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(
            &bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        )
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        if !text.len().is_multiple_of(2) || !text.is_ascii() {
            return Err(D::Error::custom("not hexadecimal"));
        }
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(D::Error::custom))
            .collect()
    }
}
