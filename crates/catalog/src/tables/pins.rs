//! What open jobs need kept in the vaults: derived from their rows, so it ends when they do; and
//! what other deployments copy from here.
//!
//! It does not know what a manifest reaches.
use std::collections::BTreeSet;

use model::{Hash, Region, VolumeRef, job::Pin};

use crate::{
    error::CatalogError,
    tables::{stored::decode, transfer_holds},
    transaction::Tx,
};

/// What is held of one volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Whether an open job or another deployment's copy names the volume. A sweep of its objects must then leave alone
    /// what it cannot date, since a job may be about to write or to reuse it.
    pub in_use: bool,
    /// The manifests that they named.
    pub manifests: BTreeSet<Hash>,
}

/// What is held of one volume in a region.
///
/// # Errors
/// The database's.
pub fn of_volume(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
) -> Result<Pinned, CatalogError> {
    let mut pinned = Pinned::default();
    for pin in all(tx)? {
        if pin.region == *region && pin.volume == *volume {
            pinned.in_use = true;
            pinned.manifests.extend(pin.manifest);
        }
    }
    Ok(pinned)
}

/// Every pin of every open job and of every copy to another deployment.
///
/// # Errors
/// The database's.
pub fn all(tx: &mut dyn Tx) -> Result<Vec<Pin>, CatalogError> {
    let rows = tx.query("SELECT pins FROM jobs WHERE state = 'open'", &[])?;
    let mut pins = transfer_holds::pins(tx)?;
    for row in &rows {
        pins.extend(decode::<Vec<Pin>>("a job's pins", row.text(0)?)?);
    }
    Ok(pins)
}
