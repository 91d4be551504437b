//! How RDS uses keys on a caller's behalf, and what it says when it cannot.
//!
//! Source: "AWS KMS key management" and "Sharing a DB cluster snapshot", Aurora User Guide.
use model::{Account, Key, Region, ResourceId, VolumeRef, WrappedKey, key::EncryptionContext};
use vault::DataKey;

use super::{KeyError, KeyUser, Keys, default_key};
use crate::{
    core::Core,
    fault::{Code, Fault},
};

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

/// RDS, acting for one caller in one region.
#[derive(Debug)]
pub struct RdsUse<'a> {
    core: &'a Core,
    user: KeyUser,
    region: Region,
}

impl<'a> RdsUse<'a> {
    /// For a caller, in the region that is asked.
    pub fn new(core: &'a Core, account: &Account, region: &Region) -> Self {
        Self {
            core,
            user: KeyUser {
                account: account.clone(),
                via_rds: Some(region.clone()),
            },
            region: region.clone(),
        }
    }

    /// Every failure of a key has one code, so that it does not tell whether the key exists.
    fn fault(error: &KeyError, side: KeySide<'_>, key: &str) -> Fault {
        if let KeyError::Catalog(_) | KeyError::Material { .. } = error {
            return Fault::internal(error);
        }
        let what = match side {
            KeySide::Source => format!("The source snapshot KMS key [{key}]"),
            KeySide::Target(given) => format!("The target KMS key [{}]", super::echo(given)),
        };
        Fault::new(
            Code::KmsKeyNotAccessible,
            format!(
                "{what} does not exist, is not enabled or you do not have permissions to access it."
            ),
        )
    }

    /// The key that a caller named for a new resource, ready to be used in this region.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault`, whatever the reason.
    pub async fn target(&self, given: &str) -> Result<Key, Fault> {
        let fault = |error: &KeyError| Self::fault(error, KeySide::Target(given), given);
        let found = self
            .core
            .keys
            .find(given, &self.user.account, &self.region)
            .await;
        let key = match found {
            // The default key's alias may be named before its first use made it.
            Err(KeyError::NotFound(_)) if given == super::RDS_ALIAS => {
                default_key(self.core, &self.user.account, &self.region).await?
            }
            other => other.map_err(|error| fault(&error))?,
        };
        if key.region != self.region {
            return Err(fault(&KeyError::NotFound(given.to_owned())));
        }
        for action in ["kms:DescribeKey", "kms:CreateGrant"] {
            self.core
                .keys
                .authorise(&self.user, &key, action)
                .map_err(|error| fault(&error))?;
        }
        Keys::usable(&key).map_err(|error| fault(&error))?;
        Ok(key)
    }

    /// The account's default key in this region.
    ///
    /// # Errors
    /// When the vault or the catalog fails.
    pub async fn default_key(&self) -> Result<Key, Fault> {
        default_key(self.core, &self.user.account, &self.region).await
    }

    /// Draws a data key under a key of this region.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault`.
    pub fn generate(
        &self,
        key: &Key,
        context: EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Fault> {
        let arn = key.arn().to_string();
        let made = self.core.keys.generate(&self.user, key, context);
        made.map_err(|error| Self::fault(&error, KeySide::Target(&arn), &arn))
    }

    /// Wraps a data key under a key of this region.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault`.
    pub fn wrap(
        &self,
        key: &Key,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, Fault> {
        let arn = key.arn().to_string();
        let made = self.core.keys.wrap(&self.user, key, plain, context);
        made.map_err(|error| Self::fault(&error, KeySide::Target(&arn), &arn))
    }

    /// Unwraps the data key of a source, as the caller.
    ///
    /// # Errors
    /// `KMSKeyNotAccessibleFault` in the source key's wording.
    pub async fn unwrap_source(&self, wrapped: &WrappedKey) -> Result<DataKey, Fault> {
        let arn = wrapped.key.to_string();
        let fault = |error: &KeyError| Self::fault(error, KeySide::Source, &arn);
        let key = self
            .core
            .keys
            .by_arn(&wrapped.key)
            .await
            .map_err(|error| fault(&error))?;
        for action in ["kms:DescribeKey", "kms:CreateGrant"] {
            self.core
                .keys
                .authorise(&self.user, &key, action)
                .map_err(|error| fault(&error))?;
        }
        self.core
            .keys
            .unwrap(&self.user, wrapped)
            .await
            .map_err(|error| fault(&error))
    }
}
