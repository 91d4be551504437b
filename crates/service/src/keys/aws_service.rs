//! The services that use keys on an account's behalf, each with a default key that it makes itself.
//!
//! Adding one is a variant, and its words here.
use kms::KeyRef;
use model::{Account, Region};

/// A service that uses keys for its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsService {
    /// RDS.
    Rds,
    /// Secrets Manager.
    SecretsManager,
}

impl AwsService {
    /// All, by their aliases.
    pub const ALL: [Self; 2] = [Self::Rds, Self::SecretsManager];

    /// The name in host names, and in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rds => "rds",
            Self::SecretsManager => "secretsmanager",
        }
    }

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Rds => "RDS",
            Self::SecretsManager => "AWS Secrets Manager",
        }
    }

    /// The alias of the key that it makes for an account when none is named.
    pub fn alias(self) -> &'static str {
        match self {
            Self::Rds => "alias/aws/rds",
            Self::SecretsManager => "alias/aws/secretsmanager",
        }
    }

    /// What that key says of itself.
    pub(super) fn key_description(self) -> &'static str {
        match self {
            Self::Rds => {
                "Default key that protects my RDS database volumes when no other key is defined"
            }
            Self::SecretsManager => {
                "Default key that protects my Secrets Manager data when no other key is defined"
            }
        }
    }

    /// The parameter in which a caller names another key.
    pub(super) fn key_parameter(self) -> &'static str {
        match self {
            Self::Rds => "KmsKeyId",
            Self::SecretsManager => "MasterUserSecretKmsKeyId",
        }
    }

    /// The service whose default key in a region a text names: by its alias, or the alias's ARN.
    pub fn of_default_key(text: &str, account: &Account, region: &Region) -> Option<Self> {
        let named = KeyRef::parse(text, account, region).ok()?;
        if named.account() != account || named.region() != region {
            return None;
        }
        let KeyRef::Alias { name, .. } = named else {
            return None;
        };
        Self::ALL
            .into_iter()
            .find(|service| service.alias() == name)
    }
}
