//! How RDS uses keys on a caller's behalf, and what it says when it cannot.
//!
//! Source: "AWS KMS key management" and "Sharing a DB cluster snapshot", Aurora User Guide.
use model::{Account, Arn, Region, ResourceId, VolumeRef, WrappedKey, key::EncryptionContext};
use vault::DataKey;

use super::{AwsService, KeyError, KeyService, KeyUser};
use crate::fault::{Code, Fault, chain};

/// Which key of a request failed; RDS words them differently.
#[derive(Debug, Clone, Copy)]
pub enum KeySide<'a> {
    /// The key that a source snapshot is sealed under.
    Source,
    /// The key that the caller named, as it was spelled.
    Target(&'a str),
}

/// What a snapshot's data key is bound to.
pub fn snapshot_context(
    account: &Account,
    uid: &uuid::Uuid,
    volume: &VolumeRef,
) -> EncryptionContext {
    EncryptionContext::from([
        ("snapferry:account".to_owned(), account.to_string()),
        ("snapferry:snapshot".to_owned(), uid.to_string()),
        ("snapferry:volume".to_owned(), volume.to_string()),
    ])
}

/// What a data key kept for a cluster is bound to: its base, or what it is restored from.
pub fn cluster_context(
    account: &Account,
    cluster: &ResourceId,
    volume: &VolumeRef,
) -> EncryptionContext {
    EncryptionContext::from([
        ("aws:rds:dbc-id".to_owned(), cluster.to_string()),
        ("snapferry:account".to_owned(), account.to_string()),
        ("snapferry:volume".to_owned(), volume.to_string()),
    ])
}

/// What a master user's password is bound to. Secrets Manager's words.
pub fn secret_context(secret: &Arn, version: &str) -> EncryptionContext {
    EncryptionContext::from([
        ("SecretARN".to_owned(), secret.to_string()),
        ("SecretVersionId".to_owned(), version.to_owned()),
    ])
}

/// RDS, acting for one caller in one region; through Secrets Manager for what is kept there.
#[derive(Debug)]
pub struct RdsUse<'a> {
    keys: &'a dyn KeyService,
    service: AwsService,
    user: KeyUser,
    region: Region,
}

impl<'a> RdsUse<'a> {
    /// For a caller, in the region that is asked.
    pub fn new(keys: &'a dyn KeyService, account: &Account, region: &Region) -> Self {
        Self::via(AwsService::Rds, keys, account, region)
    }

    /// The same, for what RDS keeps in another service.
    pub fn via(
        service: AwsService,
        keys: &'a dyn KeyService,
        account: &Account,
        region: &Region,
    ) -> Self {
        Self {
            keys,
            service,
            user: KeyUser::via(service, account, region),
            region: region.clone(),
        }
    }

    /// Every failure of a key has one code, so that it does not tell whether the key exists.
    fn fault(&self, error: KeyError, side: KeySide<'_>, key: &str) -> Fault {
        match error {
            KeyError::Making(_) | KeyError::Catalog(_) | KeyError::Material { .. } => {
                return Fault::internal(&error);
            }
            KeyError::Unavailable { .. } => {
                tracing::warn!(cause = %chain(&error), "a key could not be used");
                return Fault::new(
                    Code::ServiceUnavailable,
                    "The key management service does not answer. Nothing was changed; try again.",
                );
            }
            KeyError::NoDefaultKey => {
                return Fault::combination(format!(
                    "{} must be given: this server's keys are held by an outside KMS, and no \
                     default key is configured for it.",
                    self.service.key_parameter()
                ));
            }
            _ => tracing::info!(cause = %chain(&error), "a key was refused"),
        }
        let what = match side {
            KeySide::Source => format!("The source snapshot KMS key [{key}]"),
            KeySide::Target(given) => {
                format!("The target KMS key [{}]", model::limits::echo(given))
            }
        };
        Fault::new(
            Code::KmsKeyNotAccessible,
            format!(
                "{what} does not exist, is not enabled or you do not have permissions to access it."
            ),
        )
    }

    fn fault_of(&self, key: &TargetKey, error: KeyError) -> Fault {
        let arn = key.0.to_string();
        self.fault(error, KeySide::Target(&arn), &arn)
    }

    /// The key that a caller named for a new resource, ready to be used in this region.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault`, whatever the reason.
    pub async fn target(&self, given: &str) -> Result<TargetKey, Fault> {
        let keys = self.keys;
        let found = match keys.target(&self.user, given, &self.region).await {
            // The default key's alias may be named before its first use made it.
            Err(KeyError::NotFound(_)) if self.is_default(given) => self.default_arn().await,
            other => other,
        };
        found
            .map(TargetKey)
            .map_err(|error| self.fault(error, KeySide::Target(given), given))
    }

    fn is_default(&self, given: &str) -> bool {
        AwsService::of_default_key(given, &self.user.account, &self.region) == Some(self.service)
    }

    async fn default_arn(&self) -> Result<Arn, KeyError> {
        let (account, region) = (&self.user.account, &self.region);
        self.keys.default_key(self.service, account, region).await
    }

    /// The account's default key in this region.
    ///
    /// # Errors
    /// When there is none and none can be made.
    pub async fn default_key(&self) -> Result<TargetKey, Fault> {
        let key = self.default_arn().await;
        key.map(TargetKey).map_err(|error| {
            let alias = self.service.alias();
            self.fault(error, KeySide::Target(alias), alias)
        })
    }

    /// Draws a data key under a key of this region.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault`.
    pub async fn generate(
        &self,
        key: &TargetKey,
        context: EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Fault> {
        let made = self.keys.generate(&self.user, &key.0, context).await;
        made.map_err(|error| self.fault_of(key, error))
    }

    /// Wraps a data key under a key of this region.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault`.
    pub async fn wrap(
        &self,
        key: &TargetKey,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, Fault> {
        let keys = self.keys;
        let made = keys.wrap(&self.user, &key.0, plain, context).await;
        made.map_err(|error| self.fault_of(key, error))
    }

    /// Wraps a data key under the key that a caller named for a new resource.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault`, whatever the reason.
    pub async fn wrap_for(
        &self,
        given: &str,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, Fault> {
        let (keys, user) = (self.keys, &self.user);
        let made = keys.wrap_for(user, given, &self.region, plain, context.clone());
        let made = match made.await {
            // The default key's alias may be named before its first use made it.
            Err(KeyError::NotFound(_)) if self.is_default(given) => {
                match self.default_arn().await {
                    Ok(key) => keys.wrap(user, &key, plain, context).await,
                    Err(error) => Err(error),
                }
            }
            other => other,
        };
        made.map_err(|error| self.fault(error, KeySide::Target(given), given))
    }

    /// Unwraps the data key of a source, as the caller.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault` in the source key's wording.
    pub async fn unwrap_source(&self, wrapped: &WrappedKey) -> Result<DataKey, Fault> {
        let unwrapped = self.keys.unwrap_source(&self.user, wrapped).await;
        unwrapped.map_err(|error| self.fault(error, KeySide::Source, &wrapped.key.to_string()))
    }
}

/// A key that was found good for a new resource.
#[derive(Debug, Clone)]
pub struct TargetKey(Arn);

impl TargetKey {
    /// One that a record names: it was found good before.
    pub fn recorded(key: Arn) -> Self {
        Self(key)
    }

    /// Its ARN.
    pub fn arn(&self) -> Arn {
        self.0.clone()
    }
}
