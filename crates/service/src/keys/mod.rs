//! Keys, and who may use them: the built-in KMS over the catalog.
//!
//! Every use is authorised as the caller, by the key's policy, never as the service itself.
//! Key material leaves the catalog only sealed by the master key, and lives in memory only
//! while one operation needs it.
mod rds;

use std::sync::Arc;

use catalog::{Catalog, CatalogError, CatalogExt, Stored};
use kms::{KeyMaterial, KeyRef, MasterKey, policy};
use model::{
    Account, Arn, Clock, Entropy, Key, KeyManager, KeyState, Region, Tag, WrappedKey,
    key::EncryptionContext,
};
use vault::DataKey;

use crate::core::Core;

pub use rds::{RdsUse, cluster_context, snapshot_context};

/// The alias of the key that RDS makes for an account when none is named.
pub const RDS_ALIAS: &str = "alias/aws/rds";
const RECORD_PURPOSE: &str = "record";

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
    /// The policy does not let the caller.
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
    /// The catalog failed.
    #[error("the catalog failed while a key was looked up")]
    Catalog(#[from] CatalogError),
    /// Sealed material does not open: damaged, or another master key.
    #[error("the material of {key} does not open under this master key")]
    Material { key: Arn, source: kms::OpenError },
}

/// Who uses a key, and on whose behalf.
#[derive(Debug, Clone)]
pub struct KeyUser {
    /// The account that asks.
    pub account: Account,
    /// The region whose RDS asks for it; none when the account asks KMS itself.
    pub via_rds: Option<Region>,
}

impl KeyUser {
    fn conditions(&self, action: &str, context: &EncryptionContext) -> policy::Conditions {
        policy::Conditions {
            via_service: self
                .via_rds
                .as_ref()
                .map(|region| format!("rds.{region}.amazonaws.com")),
            grant_is_for_aws_resource: (action == "kms:CreateGrant")
                .then_some(self.via_rds.is_some()),
            encryption_context: context.clone(),
        }
    }
}

/// What a new key is to be.
#[derive(Debug)]
pub struct NewKey {
    pub account: Account,
    pub region: Region,
    pub manager: KeyManager,
    pub description: String,
    pub policy: Option<String>,
    pub tags: Vec<Tag>,
}

/// The built-in KMS.
pub struct Keys {
    catalog: Arc<dyn Catalog>,
    master_key: Arc<MasterKey>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    pub(crate) fn new(
        catalog: Arc<dyn Catalog>,
        master_key: Arc<MasterKey>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            catalog,
            master_key,
            clock,
            entropy,
        }
    }

    /// Finds a key by any of its four identifier forms. A bare id or alias name is the
    /// caller's own, in `region`; only an ARN names another account's.
    ///
    /// # Errors
    /// Malformed or unknown.
    pub async fn find(
        &self,
        text: &str,
        caller: &Account,
        region: &Region,
    ) -> Result<Key, KeyError> {
        let wanted =
            KeyRef::parse(text, caller, region).map_err(|_| KeyError::Malformed(echo(text)))?;
        let key = self
            .catalog
            .glance(move |tx| {
                let (region, account, id) = match &wanted {
                    KeyRef::Id {
                        region,
                        account,
                        id,
                    } => (region.clone(), account.clone(), id.clone()),
                    KeyRef::Alias {
                        region,
                        account,
                        name,
                    } => match catalog::keys::get_alias(tx, region, account, name)? {
                        Some(alias) => (region.clone(), account.clone(), alias.key_id),
                        None => {
                            return Ok::<_, CatalogError>(Err(format!(
                                "Alias {} is not found.",
                                Arn::kms(region, account, name)
                            )));
                        }
                    },
                };
                Ok(catalog::keys::get(tx, &region, &account, &id)?
                    .map(|stored| stored.value)
                    .ok_or_else(|| {
                        format!(
                            "Key '{}' does not exist",
                            Arn::kms(&region, &account, &format!("key/{id}"))
                        )
                    }))
            })
            .await?;
        key.map_err(KeyError::NotFound)
    }

    /// Finds a key by its ARN.
    ///
    /// # Errors
    /// Unknown.
    pub async fn by_arn(&self, arn: &Arn) -> Result<Key, KeyError> {
        self.find(&arn.to_string(), &arn.account, &arn.region).await
    }

    /// Whether the key's policy lets the user do something with it.
    ///
    /// # Errors
    /// `Denied`.
    pub fn authorise(
        &self,
        user: &KeyUser,
        key: &Key,
        action: &'static str,
    ) -> Result<(), KeyError> {
        Self::authorise_for(user, key, action, &EncryptionContext::new())
    }

    fn authorise_for(
        user: &KeyUser,
        key: &Key,
        action: &'static str,
        context: &EncryptionContext,
    ) -> Result<(), KeyError> {
        let request = policy::Request {
            principal_account: &user.account,
            action,
            key_arn: &key.arn(),
            conditions: &user.conditions(action, context),
        };
        let allowed =
            policy::Policy::parse(&key.policy).is_ok_and(|policy| policy.allows(&request));
        if allowed {
            Ok(())
        } else {
            Err(KeyError::Denied {
                account: user.account.clone(),
                action,
                key: key.arn().to_string(),
            })
        }
    }

    /// Whether the key is in a state to be used.
    ///
    /// # Errors
    /// `Disabled` or `PendingDeletion`.
    pub fn usable(key: &Key) -> Result<(), KeyError> {
        match key.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(KeyError::Disabled(key.arn())),
            KeyState::PendingDeletion => Err(KeyError::PendingDeletion(key.arn())),
        }
    }

    fn material(&self, key: &Key) -> Result<KeyMaterial, KeyError> {
        KeyMaterial::open(&self.master_key, key).map_err(|source| KeyError::Material {
            key: key.arn(),
            source,
        })
    }

    /// Draws a data key and wraps it under `key`.
    ///
    /// # Errors
    /// When the user may not use the key, or it cannot be used.
    pub fn generate(
        &self,
        user: &KeyUser,
        key: &Key,
        context: EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), KeyError> {
        Self::authorise_for(user, key, "kms:GenerateDataKey", &context)?;
        let plain = DataKey::from_bytes(*kms::generate_data_key());
        let wrapped = self.seal(key, &plain, context)?;
        Ok((plain, wrapped))
    }

    /// Wraps a data key under `key`.
    ///
    /// # Errors
    /// When the user may not use the key, or it cannot be used.
    pub fn wrap(
        &self,
        user: &KeyUser,
        key: &Key,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, KeyError> {
        Self::authorise_for(user, key, "kms:Encrypt", &context)?;
        self.seal(key, plain, context)
    }

    fn seal(
        &self,
        key: &Key,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, KeyError> {
        Self::usable(key)?;
        let blob = kms::wrap(&self.material(key)?, &key.arn(), plain.bytes(), &context)
            .map_err(|_| KeyError::Ciphertext(key.arn()))?;
        Ok(WrappedKey {
            key: key.arn(),
            blob,
            context,
        })
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// When the user may not use the key it is wrapped under, or that key cannot be used.
    pub async fn unwrap(&self, user: &KeyUser, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        let key = self.by_arn(&wrapped.key).await?;
        Self::authorise_for(user, &key, "kms:Decrypt", &wrapped.context)?;
        Self::usable(&key)?;
        let plain = kms::unwrap_data_key(&self.material(&key)?, &wrapped.blob, &wrapped.context)
            .map_err(|_| KeyError::Ciphertext(wrapped.key.clone()))?;
        Ok(DataKey::from_bytes(*plain))
    }

    /// A new key's record, its material drawn and sealed.
    pub fn draw(&self, new: NewKey) -> Key {
        let id = self.entropy.uuid().to_string();
        let arn = Arn::kms(&new.region, &new.account, &format!("key/{id}"));
        Key {
            policy: new.policy.unwrap_or_else(|| match new.manager {
                KeyManager::Customer => policy::default_policy(&new.region, &new.account),
                KeyManager::Aws => policy::service_policy(&new.region, &new.account),
            }),
            region: new.region,
            account: new.account,
            id,
            state: KeyState::Enabled,
            manager: new.manager,
            created_at: self.clock.now(),
            deletion_at: None,
            description: new.description,
            tags: new.tags,
            sealed_material: KeyMaterial::generate().seal(&self.master_key, &arn),
        }
    }

    /// Seals a record for the vault's mirror, bound to the path it will have.
    pub fn seal_record(&self, path: &str, record: &[u8]) -> Vec<u8> {
        self.master_key.seal(RECORD_PURPOSE, path, record)
    }
}

fn echo(text: &str) -> String {
    text.chars().take(model::limits::ECHO_CHARS_MAX).collect()
}

/// Keeps a new key: its material reaches the vault's mirror before anyone learns its name.
///
/// # Errors
/// When the vault or the catalog fails.
pub async fn create(
    core: &Core,
    new: NewKey,
    alias: Option<&str>,
) -> Result<Key, crate::fault::Fault> {
    let key = core.keys.draw(new);
    let first = Stored {
        version: 0,
        value: key,
    };
    mirror(core, &first).await?;
    let (row, alias) = (first.value, alias.map(str::to_owned));
    let kept = core
        .catalog
        .write(move |tx| {
            if let Some(name) = &alias {
                if let Some(existing) =
                    catalog::keys::get_alias(tx, &row.region, &row.account, name)?
                {
                    // Another request made it first: its key serves, this one is never kept.
                    let stored =
                        catalog::keys::get(tx, &row.region, &row.account, &existing.key_id)?;
                    return Ok::<_, CatalogError>(
                        stored.map_or_else(|| row.clone(), |stored| stored.value),
                    );
                }
                catalog::keys::insert_alias(
                    tx,
                    &catalog::keys::Alias {
                        region: row.region.clone(),
                        account: row.account.clone(),
                        name: name.clone(),
                        key_id: row.id.clone(),
                        created_at: row.created_at,
                        updated_at: row.created_at,
                    },
                )?;
            }
            Ok(catalog::keys::insert(tx, row.clone())?.value)
        })
        .await?;
    Ok(kept)
}

/// Writes a key's record to its region's vault.
///
/// # Errors
/// When the vault fails.
pub async fn mirror(core: &Core, stored: &Stored<Key>) -> Result<(), crate::fault::Fault> {
    let (key, version) = (&stored.value, stored.version);
    let path = format!("keys/{}/{}/{version:020}", key.account, key.id);
    let record = serde_json::to_vec(key).expect("records serialize");
    let sealed = core.keys.seal_record(&path, &record);
    vault::records::put_record(&core.vault(&key.region)?, &path, sealed.into()).await?;
    Ok(())
}

/// The account's `alias/aws/rds` key in a region, made at its first use.
///
/// # Errors
/// When the vault or the catalog fails.
pub async fn default_key(
    core: &Core,
    account: &Account,
    region: &Region,
) -> Result<Key, crate::fault::Fault> {
    match core.keys.find(RDS_ALIAS, account, region).await {
        Ok(key) => Ok(key),
        Err(KeyError::NotFound(_)) => {
            let new = NewKey {
                account: account.clone(),
                region: region.clone(),
                manager: KeyManager::Aws,
                description:
                    "Default key that protects my RDS database volumes when no other key is defined"
                        .to_owned(),
                policy: None,
                tags: Vec::new(),
            };
            create(core, new, Some(RDS_ALIAS)).await
        }
        Err(error) => Err(crate::fault::Fault::internal(&error)),
    }
}
