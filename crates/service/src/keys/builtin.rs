//! The built-in KMS: keys in the catalog, their material sealed by the master key.
//!
//! Key material leaves the catalog only sealed, and lives in memory only while one operation
//! needs it.
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Catalog, CatalogError, CatalogExt, grants, keys};
use kms::{Decision, KeyMaterial, KeyRef, MasterKey, grant, policy};
use model::{
    Account, Arn, Clock, Entropy, Grant, Key, KeyManager, KeyState, Region, Tag, WrappedKey,
    key::{EncryptionContext, MULTI_REGION_ID, MultiRegion, Rotation, RotationPlan},
    key_spec::{KeySpec, KeyUsage},
    limits,
};
use vault::DataKey;
use zeroize::Zeroizing;

use super::{
    AwsService, KeyError, KeyService, KeyUser, data_key,
    period::{self, PERIOD_DAYS},
    policy_cache::Policies,
};
use crate::{account_limiter::AccountLimiter, vaults::Vaults};

const TOKEN_PURPOSE: &str = "link-token";

/// What a new key is to be.
#[derive(Debug)]
pub struct NewKey {
    pub account: Account,
    pub region: Region,
    pub manager: KeyManager,
    pub description: String,
    pub policy: Option<String>,
    pub tags: Vec<Tag>,
    pub multi_region: bool,
    pub spec: KeySpec,
    pub usage: KeyUsage,
}

/// What the like of a multi-Region key in another region is to be: all that the two do not share.
#[derive(Debug)]
pub struct NewReplica {
    pub region: Region,
    pub description: String,
    pub policy: Option<String>,
    pub tags: Vec<Tag>,
}

/// The built-in KMS.
pub struct Keys {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) vaults: Arc<Vaults>,
    master_key: Arc<MasterKey>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    policies: Policies,
    pub(super) pair_work: AccountLimiter,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Names the master key that this process has, without telling it.
    pub(crate) fn master_key_fingerprint(&self) -> String {
        self.master_key.fingerprint()
    }

    pub(crate) fn new(
        catalog: Arc<dyn Catalog>,
        vaults: Arc<Vaults>,
        master_key: Arc<MasterKey>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            catalog,
            vaults,
            master_key,
            clock,
            entropy,
            policies: Policies::default(),
            pair_work: AccountLimiter::of_half_the_processors(),
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
        let wanted = KeyRef::parse(text, caller, region)
            .map_err(|_| KeyError::Malformed(model::limits::echo(text)))?;
        let key = self
            .catalog
            .point_read(move |tx| {
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
                    } => match keys::get_alias(tx, region, account, name)? {
                        Some(alias) => (region.clone(), account.clone(), alias.key_id),
                        None => {
                            return Ok::<_, CatalogError>(Err(format!(
                                "Alias {} is not found.",
                                Arn::kms(region, account, name)
                            )));
                        }
                    },
                };
                Ok(keys::get(tx, &region, &account, &id)?
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

    /// Finds a key and makes sure that the user may do `action` with it. Of another account's
    /// keys a refusal tells nothing: neither whether there is one, nor what an alias stands for.
    ///
    /// # Errors
    /// Malformed, unknown or `Denied`.
    pub async fn find_for(
        &self,
        user: &KeyUser,
        text: &str,
        region: &Region,
        action: &'static str,
        context: &EncryptionContext,
    ) -> Result<Key, KeyError> {
        let foreign = KeyRef::parse(text, &user.account, region)
            .is_ok_and(|wanted| *wanted.account() != user.account);
        let found = match self.find(text, &user.account, region).await {
            Ok(key) => self
                .authorise_for(user, &key, action, context)
                .await
                .map(|()| key),
            Err(error) => Err(error),
        };
        match found {
            Err(KeyError::NotFound(_) | KeyError::Denied { .. }) if foreign => {
                Err(KeyError::Denied {
                    account: user.account.clone(),
                    action,
                    key: model::limits::echo(text),
                })
            }
            other => other,
        }
    }

    /// Finds a key by its ARN.
    ///
    /// # Errors
    /// Unknown.
    pub async fn by_arn(&self, arn: &Arn) -> Result<Key, KeyError> {
        self.find(&arn.to_string(), &arn.account, &arn.region).await
    }

    /// Whether the key's policy, or a grant, lets the user do something with it.
    ///
    /// # Errors
    /// `Denied`.
    pub async fn authorise(
        &self,
        user: &KeyUser,
        key: &Key,
        action: &'static str,
    ) -> Result<(), KeyError> {
        self.authorise_for(user, key, action, &EncryptionContext::new())
            .await
    }

    /// The same, with an encryption context.
    ///
    /// # Errors
    /// `Denied`.
    pub async fn authorise_for(
        &self,
        user: &KeyUser,
        key: &Key,
        action: &'static str,
        context: &EncryptionContext,
    ) -> Result<(), KeyError> {
        let allowed = match self.policy_says(user, key, action, context) {
            Decision::Allow => true,
            Decision::Deny => false,
            Decision::Silent => self
                .grants_to(&user.account, key)
                .await?
                .iter()
                .any(|grant| grant::permits(grant, &user.account, action, context)),
        };
        if allowed {
            return Ok(());
        }
        Err(KeyError::Denied {
            account: user.account.clone(),
            action,
            key: key.arn().to_string(),
        })
    }

    /// What a key's policy says of a use; one that does not read denies.
    pub fn policy_says(
        &self,
        user: &KeyUser,
        key: &Key,
        action: &str,
        context: &EncryptionContext,
    ) -> Decision {
        let request = policy::Request {
            principal_account: &user.account,
            action,
            key_arn: &key.arn(),
            conditions: &user.conditions(action, context),
        };
        self.policies
            .parsed(&key.policy)
            .map_or(Decision::Deny, |policy| policy.decide(&request))
    }

    /// Whether what a key's policy says may depend on the encryption context.
    pub fn policy_sees_context(&self, key: &Key) -> bool {
        let policy = self.policies.parsed(&key.policy);
        policy.is_some_and(|policy| policy.sees_context())
    }

    /// The grants that an account has on a key.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn grants_to(&self, account: &Account, key: &Key) -> Result<Vec<Grant>, KeyError> {
        let (arn, account) = (key.arn(), account.clone());
        let found = self
            .catalog
            .read(move |tx| grants::to(tx, &arn, &account, limits::GRANTS_MAX))
            .await?;
        Ok(found.into_iter().map(|stored| stored.value).collect())
    }

    /// Whether the key is in a state to be used.
    ///
    /// # Errors
    /// `Disabled` or `PendingDeletion`.
    pub fn usable(key: &Key) -> Result<(), KeyError> {
        match key.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(KeyError::Disabled(key.arn())),
            KeyState::PendingDeletion | KeyState::PendingReplicaDeletion => {
                Err(KeyError::PendingDeletion(key.arn()))
            }
        }
    }

    /// Whether the key is one that data keys are wrapped under.
    ///
    /// # Errors
    /// `NotSymmetric`.
    pub fn symmetric(key: &Key) -> Result<(), KeyError> {
        match key.is_symmetric() {
            true => Ok(()),
            false => Err(KeyError::NotSymmetric(key.arn())),
        }
    }

    pub(super) fn material(&self, key: &Key, number: u32) -> Result<KeyMaterial, KeyError> {
        KeyMaterial::open(&self.master_key, key, number).map_err(|source| KeyError::Material {
            key: key.arn(),
            source,
        })
    }

    /// Wraps a secret under a key in use, with its current material. Authorised before.
    ///
    /// # Errors
    /// When the key cannot be used, or the secret has no length that can be wrapped.
    pub fn seal(
        &self,
        key: &Key,
        plain: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, KeyError> {
        Self::usable(key)?;
        Self::symmetric(key)?;
        let number = key.current_material;
        let material = self.material(key, number)?;
        kms::wrap(&material, &key.arn(), number, plain, context).map_err(KeyError::Wrap)
    }

    /// Unwraps a blob of a key in use, with the material that the blob names. Authorised before.
    ///
    /// # Errors
    /// When the key cannot be used, or the blob does not open.
    pub fn open(
        &self,
        key: &Key,
        blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        Self::usable(key)?;
        Self::symmetric(key)?;
        let refused = || KeyError::Ciphertext(key.arn());
        let (_, number) = kms::key_of(blob).map_err(|_| refused())?;
        if key.rotations.len() < number as usize {
            return Err(refused());
        }
        let material = self.material(key, number)?;
        kms::unwrap(&material, blob, context).map_err(|_| refused())
    }

    /// A new key's record, its material sealed.
    pub fn draw(&self, new: NewKey, material: &KeyMaterial) -> Key {
        let id = match new.multi_region {
            true => format!("{MULTI_REGION_ID}{}", self.entropy.uuid().simple()),
            false => self.entropy.uuid().to_string(),
        };
        let arn = Arn::kms(&new.region, &new.account, &format!("key/{id}"));
        let now = self.clock.now();
        // KMS rotates the keys that services manage; a customer's only when it is told to.
        let rotation = (new.manager == KeyManager::Aws).then(|| RotationPlan {
            period_days: PERIOD_DAYS,
            next_at: period::next(now, PERIOD_DAYS),
        });
        Key {
            policy: new
                .policy
                .unwrap_or_else(|| policy::default_policy(&new.region, &new.account)),
            region: new.region,
            account: new.account,
            id,
            state: KeyState::Enabled,
            manager: new.manager,
            created_at: now,
            deletion_at: None,
            description: new.description,
            tags: new.tags,
            spec: new.spec,
            usage: new.usage,
            sealed_material: material.seal(&self.master_key, &arn, 0),
            rotations: Vec::new(),
            current_material: 0,
            rotation,
            multi_region: new.multi_region.then_some(MultiRegion::Primary),
            pending_window_days: None,
        }
    }

    /// The record of a primary key's like in another region.
    ///
    /// # Errors
    /// `Material`.
    pub fn draw_replica(&self, primary: &Key, new: NewReplica) -> Result<Key, KeyError> {
        let policy = new.policy;
        let mut replica = Key {
            policy: policy.unwrap_or_else(|| policy::default_policy(&new.region, &primary.account)),
            region: new.region,
            description: new.description,
            tags: new.tags,
            created_at: self.clock.now(),
            state: KeyState::Enabled,
            rotation: None,
            multi_region: Some(MultiRegion::Replica),
            ..primary.clone()
        };
        KeyMaterial::replicate(&self.master_key, primary, &mut replica).map_err(|source| {
            KeyError::Material {
                key: primary.arn(),
                source,
            }
        })?;
        Ok(replica)
    }

    /// The next material of a key and its likes in other regions, drawn once and sealed for each.
    pub fn draw_rotation<'a>(
        &self,
        family: impl IntoIterator<Item = &'a mut Key>,
        on_demand: bool,
    ) {
        let (material, at) = (
            KeyMaterial::generate(KeySpec::SymmetricDefault),
            self.clock.now(),
        );
        for key in family {
            let number = u32::try_from(key.rotations.len() + 1).expect("rotations are few");
            key.rotations.push(Rotation {
                sealed_material: material.seal(&self.master_key, &key.arn(), number),
                at,
                on_demand,
            });
        }
    }

    /// A multi-Region key and its likes in other regions; any other key alone.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn family(&self, key: &Key) -> Result<Vec<Key>, KeyError> {
        if key.multi_region.is_none() {
            return Ok(vec![key.clone()]);
        }
        let key = key.clone();
        let found = self.catalog.read(move |tx| keys::family(tx, &key)).await?;
        Ok(found.into_iter().map(|stored| stored.value).collect())
    }

    /// The key that a user names for a new resource of a region, ready to be used there.
    async fn found_target(
        &self,
        user: &KeyUser,
        given: &str,
        region: &Region,
    ) -> Result<Key, KeyError> {
        let key = self.find(given, &user.account, region).await?;
        if key.region != *region {
            return Err(KeyError::NotFound(given.to_owned()));
        }
        self.may_hand_to_rds(user, &key).await?;
        Self::usable(&key)?;
        Self::symmetric(&key)?;
        Ok(key)
    }

    async fn may_hand_to_rds(&self, user: &KeyUser, key: &Key) -> Result<(), KeyError> {
        for action in ["kms:DescribeKey", "kms:CreateGrant"] {
            self.authorise(user, key, action).await?;
        }
        Ok(())
    }

    async fn wrap_under(
        &self,
        user: &KeyUser,
        key: &Key,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, KeyError> {
        self.authorise_for(user, key, "kms:Encrypt", &context)
            .await?;
        Ok(WrappedKey {
            blob: self.seal(key, plain.bytes(), &context)?,
            key: key.arn(),
            context,
        })
    }

    async fn unwrap_under(
        &self,
        user: &KeyUser,
        key: &Key,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, KeyError> {
        self.authorise_for(user, key, "kms:Decrypt", &wrapped.context)
            .await?;
        let plain = self.open(key, &wrapped.blob, &wrapped.context)?;
        data_key(&plain, &wrapped.key)
    }

    /// Seals what a link's ticket or pass says, for this deployment to read again.
    pub fn seal_token(&self, purpose: &'static str, plain: &[u8]) -> Vec<u8> {
        self.master_key.seal(TOKEN_PURPOSE, purpose, plain)
    }

    /// Opens such a token; `None` when it is not one of this deployment and purpose.
    pub fn open_token(&self, purpose: &'static str, blob: &[u8]) -> Option<Vec<u8>> {
        let plain = self.master_key.open(TOKEN_PURPOSE, purpose, blob).ok()?;
        Some(plain.to_vec())
    }
}

#[async_trait]
impl KeyService for Keys {
    async fn target(&self, user: &KeyUser, given: &str, region: &Region) -> Result<Arn, KeyError> {
        let key = self.found_target(user, given, region).await?;
        Ok(key.arn())
    }

    async fn default_key(
        &self,
        service: AwsService,
        account: &Account,
        region: &Region,
    ) -> Result<Arn, KeyError> {
        let key = self.own_default_key(service, account, region).await?;
        Ok(key.arn())
    }

    async fn wrap_for(
        &self,
        user: &KeyUser,
        given: &str,
        region: &Region,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, KeyError> {
        let key = self.found_target(user, given, region).await?;
        self.wrap_under(user, &key, plain, context).await
    }

    async fn generate(
        &self,
        user: &KeyUser,
        key: &Arn,
        context: EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), KeyError> {
        let key = self.by_arn(key).await?;
        self.authorise_for(user, &key, "kms:GenerateDataKey", &context)
            .await?;
        let plain = kms::generate_data_key();
        let blob = self.seal(&key, plain.as_slice(), &context)?;
        let wrapped = WrappedKey {
            key: key.arn(),
            blob,
            context,
        };
        Ok((DataKey::from_bytes(*plain), wrapped))
    }

    async fn wrap(
        &self,
        user: &KeyUser,
        key: &Arn,
        plain: &DataKey,
        context: EncryptionContext,
    ) -> Result<WrappedKey, KeyError> {
        let key = self.by_arn(key).await?;
        self.wrap_under(user, &key, plain, context).await
    }

    async fn unwrap(&self, user: &KeyUser, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        let key = self.by_arn(&wrapped.key).await?;
        self.unwrap_under(user, &key, wrapped).await
    }

    async fn unwrap_source(
        &self,
        user: &KeyUser,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, KeyError> {
        let key = self.by_arn(&wrapped.key).await?;
        self.may_hand_to_rds(user, &key).await?;
        self.unwrap_under(user, &key, wrapped).await
    }
}
