//! What open jobs need kept in the vaults, by volume: it ends when they do; and what other
//! deployments copy from here.
//!
//! It does not know what a manifest reaches.
use std::collections::BTreeSet;

use model::{Hash, JobId, Region, VolumeRef, job::Pin};

use crate::{
    error::CatalogError,
    transaction::Tx,
    value::{Arg, args},
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
    let now = tx.now();
    let rows = tx.query(
        "SELECT manifest FROM job_pins WHERE region = ?1 AND volume = ?2 \
         UNION ALL SELECT manifest FROM link_passes \
         WHERE region = ?1 AND volume = ?2 AND ?3 <= held_until",
        args![region, volume, now],
    )?;
    let mut pinned = Pinned {
        in_use: !rows.is_empty(),
        manifests: BTreeSet::new(),
    };
    for row in &rows {
        if !row.text(0)?.is_empty() {
            pinned.manifests.insert(row.parsed(0)?);
        }
    }
    Ok(pinned)
}

/// Lets these be what a job needs kept, and no others.
pub(super) fn set(
    tx: &mut dyn Tx,
    job: JobId,
    before: &[Pin],
    pins: &[Pin],
) -> Result<(), CatalogError> {
    if before == pins {
        return Ok(());
    }
    if !before.is_empty() {
        tx.execute("DELETE FROM job_pins WHERE job = ?1", args![job])?;
    }
    if pins.is_empty() {
        return Ok(());
    }
    let mut args: Vec<Arg<'_>> = vec![job.into()];
    let mut rows = Vec::with_capacity(pins.len());
    for pin in pins {
        let at = args.len();
        rows.push(format!("(?1, ?{}, ?{}, ?{})", at + 1, at + 2, at + 3));
        let manifest = pin.manifest.map(|manifest| manifest.to_string());
        args.extend([
            (&pin.region).into(),
            (&pin.volume).into(),
            manifest.unwrap_or_default().into(),
        ]);
    }
    let rows = rows.join(", ");
    tx.execute(
        &format!(
            "INSERT INTO job_pins (job, region, volume, manifest) VALUES {rows} \
             ON CONFLICT DO NOTHING"
        ),
        &args,
    )?;
    Ok(())
}
