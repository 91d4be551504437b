//! Multi-Region keys: a primary key, and its likes in other regions with the same id and material.
//!
//! It does not know who may ask for what.
//!
//! Invariant: all records of one key are written in one transaction wherever they depend on each
//! other, so a key has one primary, and each of its likes has all of its material.
use catalog::{CatalogError, CatalogExt, Stored, Tx, keys};
use model::{
    Arn, Key, Region,
    key::{MultiRegion, counterpart},
};

use super::{Keys, NewReplica, kms_fault};
use crate::fault::{Code, Fault};

impl Keys {
    /// Makes a primary key's like in another region. Its material is in that region's record log before
    /// anyone learns of it.
    ///
    /// # Errors
    /// When the key is no primary in use, or has a like there, or the vault or the catalog fails.
    pub async fn replicate(&self, primary: &Arn, new: NewReplica) -> Result<Key, Fault> {
        let (wanted, region) = (primary.clone(), new.region.clone());
        let (stored, version) = self
            .catalog
            .write(move |tx| {
                let stored = find_primary(tx, &wanted)?;
                let there = counterpart(&wanted, &region);
                if keys::get_by_arn(tx, &there)?.is_some() {
                    return Err(already(&there));
                }
                // A name for the record in the record log that an earlier replica never had.
                Ok((stored, tx.next_version()?))
            })
            .await?;
        let early = Stored {
            version,
            value: self.draw_replica(&stored.value, new).map_err(kms_fault)?,
        };
        self.record(&early).await?;
        let (replica, seen) = (early.value, stored.version);
        let kept = self
            .catalog
            .write(move |tx| {
                let now = find_primary(tx, &stored.value.arn())?;
                if now.version != seen {
                    let what = format!("the key {}", now.value.arn());
                    return Err(CatalogError::Stale { what }.into());
                }
                match keys::insert(tx, replica.clone()) {
                    Err(CatalogError::Conflict { .. }) => Err(already(&replica.arn())),
                    other => Ok(other?),
                }
            })
            .await?;
        Ok(kept.value)
    }

    /// Makes a primary key's like in a region the primary one, and the primary one a replica.
    ///
    /// # Errors
    /// When the key is no primary in use, or has no like in use there.
    pub async fn update_primary(&self, primary: &Arn, region: &Region) -> Result<(), Fault> {
        let (wanted, there) = (primary.clone(), counterpart(primary, region));
        self.catalog
            .write(move |tx| {
                let mut old = find_primary(tx, &wanted)?;
                let mut new = find(tx, &there)?;
                Keys::usable(&new.value).map_err(kms_fault)?;
                new.value.rotation = old.value.rotation.take();
                old.value.multi_region = Some(MultiRegion::Replica);
                new.value.multi_region = Some(MultiRegion::Primary);
                keys::update(tx, old)?;
                keys::update(tx, new)?;
                Ok::<_, Fault>(())
            })
            .await?;
        Ok(())
    }
}

fn find(tx: &mut dyn Tx, arn: &Arn) -> Result<Stored<Key>, Fault> {
    keys::get_by_arn(tx, arn)?
        .ok_or_else(|| Fault::new(Code::KmsNotFound, format!("Key '{arn}' does not exist")))
}

fn find_primary(tx: &mut dyn Tx, arn: &Arn) -> Result<Stored<Key>, Fault> {
    let stored = find(tx, arn)?;
    Keys::usable(&stored.value).map_err(kms_fault)?;
    if stored.value.multi_region == Some(MultiRegion::Primary) {
        return Ok(stored);
    }
    Err(Fault::new(
        Code::KmsUnsupported,
        format!("{arn} is not a multi-Region primary key."),
    ))
}

fn already(arn: &Arn) -> Fault {
    Fault::new(
        Code::KmsAlreadyExists,
        format!("Key '{arn}' already exists"),
    )
}
