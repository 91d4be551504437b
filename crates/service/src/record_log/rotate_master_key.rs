//! Puts a new master key in the place of an old one: everything that it seals is sealed anew.
//!
//! It does not know where master keys are kept, nor whether servers run: none may.
//!
//! Invariant: at each moment the two keys together open everything, and what the old key alone
//! opens is removed only when all of it lies under the new one. So a rotation that was cut short
//! is done again from its beginning. The catalog changes keys in one transaction; a vault's record log
//! by a checkpoint under the new key, after which all that was there before is removed.
use std::sync::Arc;

use catalog::{CatalogError, CatalogExt, Tx, access_keys, keys, meta};
use kms::{KeyMaterial, MasterKey, OpenError};
use model::{Region, Timestamp};
use vault::{
    Vault, VaultError,
    records::{RecordEntry, delete_record, list_records},
};

use crate::{
    auth::authenticate::SECRET_PURPOSE,
    clusters::{
        authority::{self, AuthorityError},
        peer_key::{self, PeerKeyError},
    },
    receipts::{self, ReceiptKeyError},
    record_log::{
        batch::{FOLDER, KEYS_FOLDER, Named},
        checkpoint::{self, CheckpointError, RecordLogWriter},
        owner::{self, OwnerError},
    },
};

/// Rows read at once.
const PAGE: usize = 500;

/// What a rotation works on.
#[derive(Debug)]
pub struct RotationContext<'a> {
    /// The catalog; its seal has the new key, beside the old one.
    pub record_log: &'a RecordLogWriter,
    /// The new key, beside the old one.
    pub master_key: &'a Arc<MasterKey>,
    /// Every region's vault.
    pub vaults: &'a [(Region, Vault)],
    /// The region whose vault logs the records of no region.
    pub default_region: &'a Region,
    /// The present moment.
    pub now: Timestamp,
}

/// What was sealed anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Access keys' secrets.
    pub access_keys: u64,
    /// KMS keys, each with all its material.
    pub kms_keys: u64,
    /// Objects of the record logs that were removed.
    pub removed: u64,
}

/// Why a rotation stopped.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// A secret opens with neither key.
    #[error("{what} does not open with the master key")]
    Sealed {
        /// The record.
        what: String,
        source: OpenError,
    },
    /// The clusters' authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The secret of clusters on several nodes.
    #[error(transparent)]
    PeerKey(#[from] PeerKeyError),
    /// The key that signs receipts does not open.
    #[error(transparent)]
    ReceiptKey(#[from] ReceiptKeyError),
    /// A vault is not this catalog's.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A record log cannot be written.
    #[error("the record log cannot be written anew")]
    RecordLog(#[from] CheckpointError),
    /// A vault fails.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Seals everything anew.
///
/// # Errors
/// [`RotateError`]; the same call goes on.
pub async fn rotate(ground: &RotationContext<'_>) -> Result<Rotated, RotateError> {
    let RotationContext {
        record_log, vaults, ..
    } = ground;
    for (region, vault) in *vaults {
        owner::claim(record_log, vault, region, ground.now, false).await?;
    }
    let master_key = Arc::clone(ground.master_key);
    let (id, mut done) = record_log
        .catalog
        .write(move |tx| {
            let done = rewrap(tx, &master_key)?;
            meta::set(tx, meta::MASTER_KEY, &master_key.fingerprint())?;
            Ok::<_, RotateError>((owner::id(tx)?, done))
        })
        .await?;
    let mut old: Vec<(&Vault, Vec<RecordEntry>)> = Vec::new();
    for (region, vault) in *vaults {
        let mut there = list_records(vault, FOLDER).await?;
        there.extend(list_records(vault, KEYS_FOLDER).await?);
        checkpoint::write(record_log, vault, region, region == ground.default_region).await?;
        old.push((vault, there));
    }
    if let Some(id) = &id {
        for (_, vault) in *vaults {
            owner::take_over(record_log, vault, id, ground.now).await?;
        }
    }
    for (vault, mut there) in old {
        // A checkpoint's end goes before its batches, so that none seems to have lost them.
        let is_end =
            |entry: &RecordEntry| matches!(Named::parse(&entry.path), Some(Named::Checkpoint(_)));
        there.sort_by_key(|entry| !is_end(entry));
        for entry in &there {
            delete_record(vault, &entry.path).await?;
        }
        done.removed += there.len() as u64;
    }
    Ok(done)
}

/// Seals the catalog's secrets anew.
fn rewrap(tx: &mut dyn Tx, master_key: &MasterKey) -> Result<Rotated, RotateError> {
    let mut done = Rotated::default();
    authority::reencrypt(tx, master_key)?;
    peer_key::reencrypt(tx, master_key)?;
    receipts::reencrypt(tx, master_key)?;
    let wrong = |what: String| move |source| RotateError::Sealed { what, source };
    let mut after = String::new();
    loop {
        let page = access_keys::behind(tx, &after, PAGE)?;
        let full = page.len() == PAGE;
        for key in page {
            let plain = master_key
                .open(SECRET_PURPOSE, &key.id, &key.sealed_secret)
                .map_err(wrong(format!("the access key {}", key.id)))?;
            let sealed = master_key.seal(SECRET_PURPOSE, &key.id, &plain);
            access_keys::set_secret(tx, &key.id, &sealed)?;
            done.access_keys += 1;
            after = key.id;
        }
        if !full {
            break;
        }
    }
    let mut last = None;
    loop {
        let page = keys::behind(tx, last.as_ref(), PAGE)?;
        let full = page.len() == PAGE;
        for mut stored in page {
            let arn = stored.value.arn();
            KeyMaterial::rewrap(master_key, &mut stored.value)
                .map_err(wrong(format!("the key {arn}")))?;
            last = Some(keys::update(tx, stored)?.value);
            done.kms_keys += 1;
        }
        if !full {
            return Ok(done);
        }
    }
}
