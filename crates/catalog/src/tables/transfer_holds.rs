//! Tickets that other deployments redeemed, and the manifests that their copies still read here.
//!
//! It does not know who may have a ticket. A manifest is held while it is read and for a time
//! after, so a copy outlives its source's deletion, and one that was given up holds nothing long.
use std::time::Duration;

use model::{Hash, Region, VolumeRef};

use crate::{error::CatalogError, transaction::Tx, value::args};

/// Time that a manifest is held after it was last read. A redeemed ticket is remembered for as
/// long, which has to be longer than tickets live.
const HELD: Duration = Duration::from_secs(3_600);
/// Passes held at once: more copies than this do not begin within an hour.
const PASSES_MAX: u64 = 10_000;

/// What became of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redeemed {
    /// It is used now, and what it names is held.
    Now,
    /// It was used before.
    Before,
    /// Too many are held.
    TooMany,
}

/// Uses a ticket up, once for all nodes, and holds what it names.
///
/// # Errors
/// The database's.
pub fn redeem(
    tx: &mut dyn Tx,
    ticket: &str,
    (region, volume, manifest): (&Region, &VolumeRef, Hash),
) -> Result<Redeemed, CatalogError> {
    let now = tx.now();
    // One that is held for longer than is ever asked for was so under a wrong clock.
    tx.execute(
        "DELETE FROM link_passes WHERE held_until < ?1 OR ?2 < held_until",
        args![now, now.plus(2 * HELD)],
    )?;
    let rows = tx.query("SELECT count(*) FROM link_passes", &[])?;
    if PASSES_MAX <= rows.first().map_or(Ok(0), |row| row.count(0))? {
        return Ok(Redeemed::TooMany);
    }
    let added = tx.execute(
        "INSERT INTO link_passes (ticket, region, volume, manifest, held_until) \
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        args![ticket, region, volume, manifest, now.plus(HELD)],
    )?;
    Ok(if added == 0 {
        Redeemed::Before
    } else {
        Redeemed::Now
    })
}

/// Holds what a ticket gave access to for longer, or again.
///
/// # Errors
/// The database's.
pub fn hold(
    tx: &mut dyn Tx,
    ticket: &str,
    (region, volume, manifest): (&Region, &VolumeRef, Hash),
) -> Result<(), CatalogError> {
    let until = tx.now().plus(HELD);
    tx.execute(
        "INSERT INTO link_passes (ticket, region, volume, manifest, held_until) \
         VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (ticket) DO UPDATE SET held_until = excluded.held_until",
        args![ticket, region, volume, manifest, until],
    )?;
    Ok(())
}
