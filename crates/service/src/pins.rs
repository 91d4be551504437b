//! What keeps recovery points, and the keys that they need: locks of vaults, and legal holds.
//!
//! It does not know who asks, nor by which clock a lifecycle ends.
use std::fmt;

use catalog::{CatalogError, Tx, keyed, recovery_points, snapshots};
use model::{Account, Arn, BackupVault, LegalHold, Region, Snapshot, SnapshotStatus};

/// Rows that are read at once.
const BATCH: usize = 500;

/// What keeps a recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// Its vault is locked: it goes at the end of its lifecycle, and nobody ends that sooner.
    Lock(Box<BackupVault>),
    /// A legal hold: it goes once that is cancelled.
    Hold(Box<LegalHold>),
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(vault) => {
                write!(f, "the backup vault {} is locked", vault.arn())?;
                match vault.lock.as_ref().and_then(|lock| lock.lock_date) {
                    Some(date) => write!(f, ", for good from {date} on"),
                    None => Ok(()),
                }
            }
            Self::Hold(hold) => {
                write!(f, "the legal hold {} ({}) keeps it", hold.title, hold.arn())
            }
        }
    }
}

/// What keeps a recovery point from being deleted, if anything does. One that could not be made whole
/// has nothing to keep.
///
/// # Errors
/// The catalog's.
pub fn of_point(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<Option<Pin>, CatalogError> {
    if snapshot.recovery_point.is_none() || snapshot.status == SnapshotStatus::Failed {
        return Ok(None);
    }
    let hold = holds(tx, &snapshot.region, &snapshot.account)?;
    match hold.into_iter().find(|hold| hold.keeps(snapshot)) {
        Some(hold) => Ok(Some(Pin::Hold(Box::new(hold)))),
        None => lock_of_point(tx, snapshot),
    }
}

/// The lock that keeps a recovery point, whatever else does.
///
/// # Errors
/// The catalog's.
pub fn lock_of_point(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<Option<Pin>, CatalogError> {
    let point = snapshot.recovery_point.as_ref();
    let Some(point) = point.filter(|_| snapshot.status != SnapshotStatus::Failed) else {
        return Ok(None);
    };
    let (region, account) = (&snapshot.region, &snapshot.account);
    let vault = locked(tx, region, account, point.vault.as_str())?;
    Ok(vault.map(|vault| Pin::Lock(Box::new(vault))))
}

/// An account's legal holds in a region that are not cancelled.
fn holds(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
) -> Result<Vec<LegalHold>, CatalogError> {
    let all = keyed::list::<LegalHold>(tx, region, &[account.as_str()], usize::MAX)?;
    let all = all.into_iter().map(|stored| stored.value);
    Ok(all.filter(|hold| hold.cancelled.is_none()).collect())
}

fn locked(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &str,
) -> Result<Option<BackupVault>, CatalogError> {
    let found = keyed::get::<BackupVault>(tx, region, &[account.as_str(), name])?;
    let found = found.map(|stored| stored.value);
    Ok(found.filter(|vault| vault.lock.is_some()))
}

/// Why a key has to stay as it is.
#[derive(Debug, Clone)]
pub struct KeyPin {
    /// What needs it, and until when, for the account whose points those are.
    pub why: String,
    /// The same for others, who learn neither a vault's name nor a hold's.
    pub told_others: String,
    /// One of the recovery points that need it.
    pub point: Snapshot,
}

/// Whose kept recovery points need a key: one row for each vault and account.
///
/// # Errors
/// The catalog's.
pub fn of_key(tx: &mut dyn Tx, key: &Arn) -> Result<Vec<KeyPin>, CatalogError> {
    let mut found = Vec::new();
    for needs in recovery_points::under_key(tx, key)? {
        let (region, account) = (&needs.region, &needs.account);
        let pin = match locked(tx, region, account, needs.vault.as_str())? {
            Some(vault) => snapshots::get(tx, region, account, &needs.one)?
                .map(|one| (Pin::Lock(Box::new(vault)), one.value)),
            None => held(tx, key, &needs)?,
        };
        let Some((pin, point)) = pin else { continue };
        let until = match (&pin, needs.until) {
            (Pin::Hold(_), _) => "until that is cancelled".to_owned(),
            (Pin::Lock(_), Some(until)) => format!("until {until}"),
            (Pin::Lock(_), None) => "for ever".to_owned(),
        };
        let what = match &pin {
            Pin::Hold(_) => "a legal hold keeps them",
            Pin::Lock(_) => "their backup vault is locked",
        };
        found.push(KeyPin {
            told_others: format!(
                "{key} is needed by recovery points of the account {account} in {region}, {until}: {what}"
            ),
            why: format!(
                "{key} is needed by recovery points of the backup vault {} of the account {account} in \
                 {region}, {until}: {pin}",
                needs.vault
            ),
            point,
        });
    }
    Ok(found)
}

/// One of a vault's recovery points under a key that a legal hold keeps.
fn held(
    tx: &mut dyn Tx,
    key: &Arn,
    needs: &recovery_points::NeedsKey,
) -> Result<Option<(Pin, Snapshot)>, CatalogError> {
    let (region, account) = (&needs.region, &needs.account);
    let holds = holds(tx, region, account)?;
    let mut after = None;
    while !holds.is_empty() {
        let owner = (region, account);
        let batch = recovery_points::of_account(tx, owner, Some(key), after.as_ref(), BATCH)?;
        let Some(last) = batch.last() else { break };
        after = Some(last.value.name.clone());
        for point in batch.into_iter().map(|stored| stored.value) {
            let of_vault = |one: &model::RecoveryPoint| one.vault == needs.vault;
            let hold = holds.iter().find(|hold| hold.keeps(&point));
            if point.recovery_point.as_ref().is_some_and(of_vault)
                && let Some(hold) = hold
            {
                return Ok(Some((Pin::Hold(Box::new(hold.clone())), point)));
            }
        }
    }
    Ok(None)
}
