//! Marks: the volumes that a sweep has to look at, since something that reached objects there ended.
//!
//! It does not know what reaches an object, nor whether anything is left to remove.
//!
//! Invariant: whatever ends a root or a pin marks its volume in the same transaction, and a mark
//! is taken away only as it was read before its volume's roots were. Otherwise objects would lie
//! there until the next look at all volumes.
use model::{Hash, Job, JobState, Region, Timestamp, VolumeRef};

use crate::{
    error::CatalogError,
    transaction::Tx,
    value::{Row, args},
};

/// A volume's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When something ended there.
    pub marked_at: Timestamp,
    /// Names this state of the mark.
    version: u64,
}

impl Mark {
    fn from_row(row: &Row, first: usize) -> Result<Self, CatalogError> {
        Ok(Self {
            marked_at: Timestamp(row.int(first)?),
            version: row.count(first + 1)?,
        })
    }
}

/// Marks a volume: something there ended, and a sweep is to look at once.
///
/// # Errors
/// The database's.
pub fn put(tx: &mut dyn Tx, region: &Region, volume: &VolumeRef) -> Result<(), CatalogError> {
    let (now, version) = (tx.now(), tx.next_version()?);
    tx.execute(
        "INSERT INTO sweep_marks (region, volume, marked_at, due_at, version) \
         VALUES (?1, ?2, ?3, ?3, ?4) ON CONFLICT (region, volume) DO UPDATE SET \
         marked_at = excluded.marked_at, due_at = excluded.due_at, version = excluded.version",
        args![region, volume, now, version],
    )?;
    Ok(())
}

/// Marks a volume in which a record stopped to need a manifest, unless another needs it still.
/// Called once the record is changed or gone.
///
/// # Errors
/// The database's.
pub(crate) fn root_ended(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
    manifest: Hash,
) -> Result<(), CatalogError> {
    let needed = tx.query(
        "SELECT 1 FROM snapshots WHERE region = ?1 AND volume = ?2 AND manifest = ?3 \
         UNION ALL SELECT 1 FROM clusters \
         WHERE region = ?1 AND volume = ?2 AND base_manifest = ?3 LIMIT 1",
        args![region, volume, manifest],
    )?;
    if needed.is_empty() {
        put(tx, region, volume)?;
    }
    Ok(())
}

/// Marks what a job leaves behind that ends in a state: all its volumes, unless its one try did
/// all that it wanted; then only those where it alone needed a manifest.
///
/// # Errors
/// The database's.
pub(crate) fn job_ended(tx: &mut dyn Tx, job: &Job, end: JobState) -> Result<(), CatalogError> {
    let clean = job.fence == 0 || (end == JobState::Done && job.fence == 1);
    for pin in &job.pins {
        match pin.manifest {
            Some(manifest) if clean => root_ended(tx, &pin.region, &pin.volume, manifest)?,
            None if clean => {}
            _ => put(tx, &pin.region, &pin.volume)?,
        }
    }
    Ok(())
}

/// A volume's mark, if it has one.
///
/// # Errors
/// The database's.
pub fn get(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
) -> Result<Option<Mark>, CatalogError> {
    let rows = tx.query(
        "SELECT marked_at, version FROM sweep_marks WHERE region = ?1 AND volume = ?2",
        args![region, volume],
    )?;
    rows.first().map(|row| Mark::from_row(row, 0)).transpose()
}

/// The marked volumes of a region that are due, by name, from the one behind `after` on; at most
/// `limit`.
///
/// # Errors
/// The database's.
pub fn due(
    tx: &mut dyn Tx,
    region: &Region,
    after: Option<&VolumeRef>,
    limit: usize,
) -> Result<Vec<VolumeRef>, CatalogError> {
    let (now, after) = (tx.now(), after.map(ToString::to_string));
    let rows = tx.query(
        "SELECT volume FROM sweep_marks WHERE region = ?1 AND due_at <= ?2 AND ?3 < volume \
         ORDER BY volume LIMIT ?4",
        args![region, now, after.unwrap_or_default(), limit],
    )?;
    rows.iter().map(|row| row.parsed(0)).collect()
}

/// Notes when a volume is to be looked at again, or that it need not be, after a look that began
/// with `seen`. A mark that was put since then stays as it is.
///
/// # Errors
/// The database's.
pub fn settle(
    tx: &mut dyn Tx,
    region: &Region,
    volume: &VolumeRef,
    seen: Option<Mark>,
    again_at: Option<Timestamp>,
) -> Result<(), CatalogError> {
    match (seen, again_at) {
        (Some(mark), Some(at)) => tx.execute(
            "UPDATE sweep_marks SET due_at = ?4 \
             WHERE region = ?1 AND volume = ?2 AND version = ?3",
            args![region, volume, mark.version, at],
        )?,
        (Some(mark), None) => tx.execute(
            "DELETE FROM sweep_marks WHERE region = ?1 AND volume = ?2 AND version = ?3",
            args![region, volume, mark.version],
        )?,
        (None, Some(at)) => {
            let (now, version) = (tx.now(), tx.next_version()?);
            tx.execute(
                "INSERT INTO sweep_marks (region, volume, marked_at, due_at, version) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                args![region, volume, now, at, version],
            )?
        }
        (None, None) => 0,
    };
    Ok(())
}
