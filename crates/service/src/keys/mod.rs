//! Keys, and who may use them.
//!
//! [`KeyService`] is what RDS asks of a key service: the built-in KMS over the catalog
//! ([`Keys`]), or an outside one. Every use is authorised as the caller, by the key's policy and
//! grants, never as the service itself.
mod aws_service;
mod builtin;
mod create;
mod fault;
mod multi_region;
mod outside;
mod pairs;
mod period;
mod policy_cache;
mod rds;
mod rotate;

use async_trait::async_trait;
use catalog::CatalogError;
use kms::policy;
use model::{Account, Arn, Region, Told, WrappedKey, key::EncryptionContext};
use vault::{DataKey, VaultError};

pub use aws_service::AwsService;
pub use builtin::{Keys, NewKey, NewReplica};
pub use fault::{invalid_ciphertext, kms_fault, secret_fault};
pub use outside::{CallError, Outside, OutsideKms, RetryPlan};
pub use pairs::Signable;
pub use period::{PERIOD_DAYS, next as next_rotation};
pub use rds::{RdsUse, TargetKey, cluster_context, secret_context, snapshot_context};
pub use rotate::Reason;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key or alias of that name.
    #[error("{0}")]
    NotFound(String),
    /// A text that is no key identifier.
    #[error("{0:?} is not a key id, a key ARN, an alias name or an alias ARN")]
    Malformed(String),
    /// Disabled.
    #[error("{0} is disabled.")]
    Disabled(Arn),
    /// Waits for its deletion.
    #[error("{0} is pending deletion.")]
    PendingDeletion(Arn),
    /// Neither the policy nor a grant lets the caller.
    #[error(
        "User: arn:aws:iam::{account}:root is not authorized to perform: {action} on resource: {key} \
         because no resource-based policy allows the {action} action"
    )]
    Denied {
        account: Account,
        action: &'static str,
        key: String,
    },
    /// A wrapped key does not open: other context, other key, or changed bytes.
    #[error("the ciphertext does not open under {0} with this encryption context")]
    Ciphertext(Arn),
    /// A key that is a pair, or for codes of messages, where a symmetric one is needed.
    #[error("{0} is no symmetric encryption key.")]
    NotSymmetric(Arn),
    /// A pair did not do what was asked.
    #[error("{0}: {1}")]
    Pair(Arn, kms::PairError),
    /// What was wrapped is no data key.
    #[error("what was wrapped under {0} is not a data key of 32 bytes")]
    NotADataKey(Arn),
    /// The plaintext cannot be wrapped.
    #[error(transparent)]
    Wrap(kms::WrapError),
    /// The outside KMS refused.
    #[error("the outside KMS refused {operation}: {code}: {message}")]
    Refused {
        operation: &'static str,
        code: String,
        message: String,
    },
    /// The outside KMS did not answer, or not as a KMS does. Another try may succeed.
    #[error("the outside KMS did not do {operation}: {why}")]
    Unavailable {
        operation: &'static str,
        why: String,
    },
    /// The deployment does not let this account use the outside KMS.
    #[error("no credentials for the outside KMS are configured for account {0}")]
    NoCredentials(Account),
    /// No key was named, and an outside KMS has no `alias/aws/…` for us.
    #[error("no default key is configured for the outside KMS")]
    NoDefaultKey,
    /// The catalog failed.
    #[error("the catalog failed while a key was looked up")]
    Catalog(#[from] CatalogError),
    /// Sealed material does not open: damaged, or another master key.
    #[error("the material of {key} does not open under this master key")]
    Material { key: Arn, source: kms::OpenError },
    /// A key could not be made.
    #[error("a key could not be made")]
    Making(#[source] VaultError),
}

impl KeyError {
    /// What the account whose job needs the key may read of it.
    pub fn told(&self) -> Told {
        Told::new(match self {
            Self::NotFound(_) | Self::Malformed(_) | Self::Denied { .. } => {
                "its KMS key does not exist, or the account may not use it any more"
            }
            Self::Disabled(_) => "its KMS key is disabled",
            Self::PendingDeletion(_) => "its KMS key waits for its deletion",
            Self::Ciphertext(_) | Self::NotADataKey(_) => "its data key does not open",
            Self::Refused { .. } => "the key management service refused its KMS key",
            Self::Unavailable { .. } => "the key management service does not answer",
            Self::NoCredentials(_) | Self::NoDefaultKey => {
                "the account has no use of the key management service here"
            }
            Self::NotSymmetric(_) => "its KMS key is no symmetric encryption key",
            Self::Pair(..)
            | Self::Wrap(_)
            | Self::Catalog(_)
            | Self::Material { .. }
            | Self::Making(_) => return Told::INTERNAL,
        })
    }
}

/// Who uses a key, and on whose behalf.
#[derive(Debug, Clone)]
pub struct KeyUser {
    /// The account that asks.
    pub account: Account,
    /// The service that asks for it, and where; none when the account asks KMS itself.
    pub via: Option<(AwsService, Region)>,
}

impl KeyUser {
    /// An account, through a service of a region.
    pub fn via(service: AwsService, account: &Account, region: &Region) -> Self {
        Self {
            account: account.clone(),
            via: Some((service, region.clone())),
        }
    }

    /// An account, through the RDS of a region.
    pub fn rds(account: &Account, region: &Region) -> Self {
        Self::via(AwsService::Rds, account, region)
    }

    /// An account that asks KMS itself.
    pub fn direct(account: &Account) -> Self {
        Self {
            account: account.clone(),
            via: None,
        }
    }

    fn conditions(&self, action: &str, context: &EncryptionContext) -> policy::Conditions {
        let about_grants = matches!(
            action,
            "kms:CreateGrant" | "kms:ListGrants" | "kms:RevokeGrant"
        );
        policy::Conditions {
            via_service: self
                .via
                .as_ref()
                .map(|(service, region)| format!("{}.{region}.amazonaws.com", service.as_str())),
            grant_is_for_aws_resource: about_grants.then_some(self.via.is_some()),
            encryption_context: context.clone(),
        }
    }
}

/// What RDS asks of a key service, as the account that it acts for.
#[async_trait]
pub trait KeyService: Send + Sync + std::fmt::Debug {
    /// The key that a user names for a new resource of a region, ready to be used there.
    ///
    /// # Errors
    /// When there is none, it cannot be used, or the user may not.
    async fn target(&self, user: &KeyUser, given: &str, region: &Region) -> Result<Arn, KeyError>;

    /// A service's default key of an account in a region; made at its first use, where keys are made
    /// here.
    ///
    /// # Errors
    /// When it cannot be made or used.
    async fn default_key(
        &self,
        service: AwsService,
        account: &Account,
        region: &Region,
    ) -> Result<Arn, KeyError>;

    /// Wraps a data key under the key that a user names for a new resource of a region.
    ///
    /// # Errors
    /// As [`KeyService::target`] and [`KeyService::wrap`].
    async fn wrap_for(
        &self,
        user: &KeyUser,
        given: &str,
        region: &Region,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, KeyError> {
        let key = self.target(user, given, region).await?;
        self.wrap(user, &key, plain, context).await
    }

    /// Draws a data key and wraps it under `key`.
    ///
    /// # Errors
    /// When the user may not use the key, or it cannot be used.
    async fn generate(
        &self,
        user: &KeyUser,
        key: &Arn,
        context: EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), KeyError>;

    /// Wraps a data key under `key`.
    ///
    /// # Errors
    /// When the user may not use the key, or it cannot be used.
    async fn wrap(
        &self,
        user: &KeyUser,
        key: &Arn,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, KeyError>;

    /// Unwraps a data key.
    ///
    /// # Errors
    /// When the user may not use the key it is wrapped under, or that key cannot be used.
    async fn unwrap(&self, user: &KeyUser, wrapped: &WrappedKey) -> Result<DataKey, KeyError>;

    /// Unwraps the data key of a snapshot that the user copies, who must be allowed to hand the
    /// key to RDS too.
    ///
    /// # Errors
    /// When there is no such key, the user may not use it so, or it cannot be used.
    async fn unwrap_source(
        &self,
        user: &KeyUser,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, KeyError>;
}

/// A data key from what a KMS unwrapped.
fn data_key(plain: &[u8], key: &Arn) -> Result<DataKey, KeyError> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    if plain.len() != bytes.len() {
        return Err(KeyError::NotADataKey(key.clone()));
    }
    bytes.copy_from_slice(plain);
    Ok(DataKey::from_bytes(*bytes))
}
