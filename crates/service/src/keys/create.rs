//! Makes keys: their material reaches the vault's record log before anyone learns their name.
//!
//! It does not know who asks for them.
use catalog::{CatalogError, CatalogExt, Record, Stored, recorded::Recorded};
use kms::policy;
use model::{
    Account, Key, KeyManager, Region,
    key_spec::{KeySpec, KeyUsage},
};

use vault::VaultError;

use super::{AwsService, KeyError, Keys, NewKey};
use crate::record_log::batch::{KEYS_FOLDER, Line};

impl Keys {
    /// Keeps a new key: its material reaches the vault's record log before anyone learns its name.
    ///
    /// # Errors
    /// When the vault or the catalog fails.
    pub async fn create(&self, new: NewKey, alias: Option<&str>) -> Result<Key, KeyError> {
        let material = self.new_material(&new.account, new.spec).await;
        let key = self.draw(new, &material);
        let first = Stored {
            version: 0,
            value: key,
        };
        self.record(&first).await.map_err(KeyError::Making)?;
        let (row, alias) = (first.value, alias.map(str::to_owned));
        let kept = self
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

    /// Writes a key's record to its region's vault at once, before what its commit says is told.
    ///
    /// # Errors
    /// When the vault fails.
    pub(super) async fn record(&self, stored: &Stored<Key>) -> Result<(), VaultError> {
        let (key, version) = (&stored.value, stored.version);
        let line = Line {
            path: key.path(),
            version,
            as_of: 0,
            record: Some(Recorded::of(key)),
        };
        let path = format!("{KEYS_FOLDER}/{}/{}/{version:020}", key.account, key.id);
        let text = serde_json::to_vec(&line).expect("records serialize");
        let vault = self.vaults.get(&key.region)?;
        match self.vaults.record_log.seal.put(&vault, &path, &text).await {
            // A version of a record is one text, whoever logged it.
            Err(VaultError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }

    /// The account's key of a service in a region, made at its first use.
    ///
    /// # Errors
    /// When the vault or the catalog fails.
    pub async fn own_default_key(
        &self,
        service: AwsService,
        account: &Account,
        region: &Region,
    ) -> Result<Key, KeyError> {
        match self.find(service.alias(), account, region).await {
            Ok(key) => Ok(key),
            Err(KeyError::NotFound(_)) => {
                let policy =
                    policy::service_policy(service.as_str(), service.title(), region, account);
                let new = NewKey {
                    account: account.clone(),
                    region: region.clone(),
                    manager: KeyManager::Aws,
                    description: service.key_description().to_owned(),
                    policy: Some(policy),
                    tags: Vec::new(),
                    multi_region: false,
                    spec: KeySpec::SymmetricDefault,
                    usage: KeyUsage::EncryptDecrypt,
                };
                self.create(new, Some(service.alias())).await
            }
            Err(error) => Err(error),
        }
    }
}
