//! `KeyMetadata`: what KMS shows of a key.
//!
//! Source: the AWS KMS API reference.
use model::{Key, KeyManager, KeyState, Timestamp, key::MultiRegion, key_spec::KeyUsage};
use serde::Serialize;

/// A moment as AWS JSON 1.1 writes it: seconds since the epoch, with a fraction.
pub(crate) fn seconds(moment: Timestamp) -> f64 {
    // Microseconds since 1970 fit a double's 53 bits for the next two centuries.
    #[expect(clippy::cast_precision_loss, reason = "a double is the wire's type")]
    let micros = moment.0 as f64;
    micros / 1e6
}

/// `KeyMetadata`.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyMetadata {
    #[serde(rename = "AWSAccountId")]
    account: String,
    key_id: String,
    arn: String,
    creation_date: f64,
    enabled: bool,
    description: String,
    key_usage: &'static str,
    key_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_date: Option<f64>,
    origin: &'static str,
    key_manager: &'static str,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_algorithms: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_algorithms: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac_algorithms: Option<Vec<&'static str>>,
    multi_region: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_region_configuration: Option<MultiRegionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_deletion_window_in_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_key_material_id: Option<String>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionConfiguration {
    multi_region_key_type: &'static str,
    primary_key: MultiRegionKey,
    replica_keys: Vec<MultiRegionKey>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct MultiRegionKey {
    arn: String,
    region: String,
}

impl MultiRegionConfiguration {
    /// Of a key and its likes in other regions, itself among them.
    fn of(key: &Key, family: &[Key]) -> Option<Self> {
        let role = key.multi_region?;
        let shown = |key: &Key| MultiRegionKey {
            arn: key.arn().to_string(),
            region: key.region.to_string(),
        };
        let (primary, replicas): (Vec<_>, Vec<_>) = family
            .iter()
            .partition(|one| one.multi_region == Some(MultiRegion::Primary));
        Some(Self {
            multi_region_key_type: match role {
                MultiRegion::Primary => "PRIMARY",
                MultiRegion::Replica => "REPLICA",
            },
            primary_key: shown(primary.first().copied().unwrap_or(key)),
            replica_keys: replicas.into_iter().map(shown).collect(),
        })
    }
}

impl KeyMetadata {
    /// Of a key and its likes in other regions, itself among them.
    pub(crate) fn of(key: &Key, family: &[Key]) -> Self {
        Self {
            account: key.account.to_string(),
            key_id: key.id.clone(),
            arn: key.arn().to_string(),
            creation_date: seconds(key.created_at),
            enabled: key.state == KeyState::Enabled,
            description: key.description.clone(),
            key_usage: key.usage.as_str(),
            key_state: key.state.as_str(),
            deletion_date: key.deletion_at.map(seconds),
            origin: "AWS_KMS",
            key_manager: match key.manager {
                KeyManager::Aws => "AWS",
                KeyManager::Customer => "CUSTOMER",
            },
            customer_master_key_spec: key.spec.as_str(),
            key_spec: key.spec.as_str(),
            encryption_algorithms: encryption_algorithms(key),
            signing_algorithms: signing_algorithms(key),
            mac_algorithms: (key.usage == KeyUsage::GenerateVerifyMac).then(|| {
                key.spec
                    .mac_algorithm()
                    .iter()
                    .map(|one| one.as_str())
                    .collect()
            }),
            multi_region: key.multi_region.is_some(),
            multi_region_configuration: MultiRegionConfiguration::of(key, family),
            pending_deletion_window_in_days: key.pending_window_days,
            current_key_material_id: key
                .is_symmetric()
                .then(|| kms::material_id(key, key.current_material)),
        }
    }
}

/// The algorithms of a key that is for encryption.
pub(crate) fn encryption_algorithms(key: &Key) -> Option<Vec<&'static str>> {
    let words = key.spec.encryption_algorithms().iter();
    (key.usage == KeyUsage::EncryptDecrypt).then(|| words.map(|one| one.as_str()).collect())
}

/// The algorithms of a key that is for signatures.
pub(crate) fn signing_algorithms(key: &Key) -> Option<Vec<&'static str>> {
    let words = key.spec.signing_algorithms().iter();
    (key.usage == KeyUsage::SignVerify).then(|| words.map(|one| one.as_str()).collect())
}
