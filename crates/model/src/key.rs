//! A KMS key's record, and a data key as it may be kept: wrapped.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    arn::{Arn, Kind},
    clock::Timestamp,
    ids::{Account, Region},
    key_spec::{KeySpec, KeyUsage},
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
    /// A primary key that cannot be used, and will be PendingDeletion once its replicas are gone.
    PendingReplicaDeletion,
}

impl KeyState {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion => "PendingDeletion",
            Self::PendingReplicaDeletion => "PendingReplicaDeletion",
        }
    }

    /// Whether its deletion was asked for.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::PendingDeletion | Self::PendingReplicaDeletion)
    }
}

/// What a multi-Region key is among the keys that share its id and its material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MultiRegion {
    /// The one that is replicated and rotated.
    Primary,
    /// One made from it, in another region.
    Replica,
}

/// A KMS key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// A UUID; of a multi-Region key `mrk-` and 32 hexadecimal digits.
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
    /// What material it has.
    #[serde(default)]
    pub spec: KeySpec,
    /// What it is for.
    #[serde(default)]
    pub usage: KeyUsage,
    /// The first key material, sealed by the master key and bound to the key's ARN.
    #[serde(with = "hex")]
    pub sealed_material: Vec<u8>,
    /// The material of each rotation. All of it opens what it once wrapped.
    #[serde(default)]
    pub rotations: Vec<Rotation>,
    /// The material that wraps: 0 is the first, `n` that of the n-th rotation. It lags one
    /// behind while a rotation's material is not in the vault's record log yet.
    #[serde(default)]
    pub current_material: u32,
    /// Whether it is rotated by itself, and when. Of a multi-Region key only the primary has it.
    #[serde(default)]
    pub rotation: Option<RotationPlan>,
    /// What it is among its likes in other regions; none: it has none.
    #[serde(default)]
    pub multi_region: Option<MultiRegion>,
    /// The waiting period that begins when the last replica is gone, while PendingReplicaDeletion.
    #[serde(default)]
    pub pending_window_days: Option<u32>,
}

/// Material that a rotation brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Sealed by the master key, bound to the key's ARN and the rotation's number.
    #[serde(with = "hex")]
    pub sealed_material: Vec<u8>,
    /// When it was drawn.
    pub at: Timestamp,
    /// Whether somebody asked for it.
    pub on_demand: bool,
}

/// How a key is rotated by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationPlan {
    /// Days between rotations.
    pub period_days: u32,
    /// When the next one is due.
    pub next_at: Timestamp,
}

/// The prefix of multi-Region keys' ids.
pub const MULTI_REGION_ID: &str = "mrk-";

/// The key of a region that has the material of the one that is named: that key itself, or its
/// like there when it is a multi-Region key.
pub fn counterpart(key: &Arn, region: &Region) -> Arn {
    match key.locate(Kind::Key) {
        Some(found) if found.name.starts_with(MULTI_REGION_ID) => {
            Arn::kms(region, found.account, &format!("key/{}", found.name))
        }
        _ => key.clone(),
    }
}

impl Key {
    /// Whether data keys are made and wrapped under it; no other key is rotated, or serves RDS.
    pub fn is_symmetric(&self) -> bool {
        self.spec == KeySpec::SymmetricDefault
    }

    /// `arn:…:key/<id>`.
    pub fn arn(&self) -> Arn {
        Arn::kms(&self.region, &self.account, &format!("key/{}", self.id))
    }
}

/// Leave that one account has to use a key: what a policy would allow, without the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The key.
    pub key: Arn,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Names the grant to those who were given it.
    pub token: String,
    /// As given; empty when none was.
    #[serde(default)]
    pub name: String,
    /// Whoever may do the operations, as it was spelled.
    pub grantee: String,
    /// The account of the grantee.
    pub grantee_account: Account,
    /// Whoever may retire it beside the grantee, as it was spelled.
    #[serde(default)]
    pub retiring: Option<String>,
    /// The account of whoever may retire it.
    #[serde(default)]
    pub retiring_account: Option<Account>,
    /// The account that made it.
    pub issuer: Account,
    /// KMS's names of operations, such as `Decrypt`.
    pub operations: Vec<String>,
    /// What the encryption context must be, exactly.
    #[serde(default)]
    pub context_equals: Option<EncryptionContext>,
    /// What the encryption context must have, at least.
    #[serde(default)]
    pub context_subset: Option<EncryptionContext>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Bytes as hexadecimal text in JSON documents.
pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(
            &bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        )
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
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
