//! What keeps recovery points, and the keys that they need: locks of vaults, and legal holds.
//!
//! It does not know who asks, nor by which clock a lifecycle ends.
use std::{collections::BTreeMap, fmt};

use catalog::{CatalogError, Tx, keyed, recovery_points};
use model::{
    Account, Arn, BackupVault, BackupVaultName, LegalHold, Region, Snapshot, SnapshotStatus,
    Timestamp,
};

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
    /// Whose recovery points need it.
    pub account: Account,
}

/// What becomes of a kept recovery point if its key changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that matters to it.
    Safe,
    /// Nothing that matters, and so it is with all others of its account in the region.
    AllSafe,
    /// It could not be opened any more.
    AtStake,
}

/// An account's recovery points in a region that need a key, and what keeps some of them.
#[derive(Debug)]
pub struct NeedsKey {
    region: Region,
    account: Account,
    /// When the last point of each vault goes; none: some stay for ever.
    until: BTreeMap<BackupVaultName, Option<Timestamp>>,
    /// Those of the vaults that are locked.
    locked: Vec<BackupVault>,
    holds: Vec<LegalHold>,
}

/// Whose recovery points need a key and may be kept: one row for each account and region.
///
/// # Errors
/// The catalog's.
pub fn needs_of_key(tx: &mut dyn Tx, key: &Arn) -> Result<Vec<NeedsKey>, CatalogError> {
    let mut found: Vec<NeedsKey> = Vec::new();
    for needs in recovery_points::under_key(tx, key)? {
        let (region, account) = (&needs.region, &needs.account);
        let of_owner = |one: &NeedsKey| one.region == *region && one.account == *account;
        if !found.last().is_some_and(of_owner) {
            found.push(NeedsKey {
                region: region.clone(),
                account: account.clone(),
                until: BTreeMap::new(),
                locked: Vec::new(),
                holds: holds(tx, region, account)?,
            });
        }
        let vault = locked(tx, region, account, needs.vault.as_str())?;
        if let Some(owner) = found.last_mut() {
            owner.locked.extend(vault);
            owner.until.insert(needs.vault, needs.until);
        }
    }
    found.retain(|owner| !owner.locked.is_empty() || !owner.holds.is_empty());
    Ok(found)
}

/// Why a key has to stay, if any kept recovery point needs it.
///
/// # Errors
/// The catalog's.
pub fn of_key(tx: &mut dyn Tx, key: &Arn) -> Result<Option<KeyPin>, CatalogError> {
    for owner in needs_of_key(tx, key)? {
        let pin = owner.find(tx, key, |_, _| Ok(Verdict::AtStake))?;
        if pin.is_some() {
            return Ok(pin);
        }
    }
    Ok(None)
}

impl NeedsKey {
    /// Whose points they are.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Where they are.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Looks at the kept ones of the points under the key, one after another, for one that is at
    /// stake.
    ///
    /// # Errors
    /// The catalog's.
    pub fn find(
        &self,
        tx: &mut dyn Tx,
        key: &Arn,
        judge: impl Fn(&mut dyn Tx, &Snapshot) -> Result<Verdict, CatalogError>,
    ) -> Result<Option<KeyPin>, CatalogError> {
        let owner = (&self.region, &self.account);
        let mut after = None;
        loop {
            let batch = recovery_points::of_account(tx, owner, Some(key), after.as_ref(), BATCH)?;
            let Some(last) = batch.last() else {
                return Ok(None);
            };
            after = Some(last.value.name.clone());
            for point in batch.into_iter().map(|stored| stored.value) {
                let Some(pin) = self.pin(&point) else {
                    continue;
                };
                match judge(tx, &point)? {
                    Verdict::Safe => {}
                    Verdict::AllSafe => return Ok(None),
                    Verdict::AtStake => return Ok(Some(self.told(key, &point, &pin))),
                }
            }
        }
    }

    /// What keeps one of the points. One that could not be made whole has nothing to keep.
    fn pin(&self, snapshot: &Snapshot) -> Option<Pin> {
        let point = snapshot.recovery_point.as_ref();
        let point = point.filter(|_| snapshot.status != SnapshotStatus::Failed)?;
        let lock = self.locked.iter().find(|vault| vault.name == point.vault);
        let hold = || self.holds.iter().find(|hold| hold.keeps(snapshot));
        match lock {
            Some(vault) => Some(Pin::Lock(Box::new(vault.clone()))),
            None => hold().map(|hold| Pin::Hold(Box::new(hold.clone()))),
        }
    }

    fn told(&self, key: &Arn, snapshot: &Snapshot, pin: &Pin) -> KeyPin {
        let Self {
            region, account, ..
        } = self;
        let point = snapshot.recovery_point.as_ref();
        let vault = point.map(|point| &point.vault);
        let until = vault.and_then(|vault| self.until.get(vault)).copied();
        let until = match (pin, until.flatten()) {
            (Pin::Hold(_), _) => "until that is cancelled".to_owned(),
            (Pin::Lock(_), Some(until)) => format!("until {until}"),
            (Pin::Lock(_), None) => "for ever".to_owned(),
        };
        let what = match pin {
            Pin::Hold(_) => "a legal hold keeps them",
            Pin::Lock(_) => "their backup vault is locked",
        };
        let vault = vault.map_or("", BackupVaultName::as_str);
        KeyPin {
            told_others: format!(
                "{key} is needed by recovery points of the account {account} in {region}, {until}: {what}"
            ),
            why: format!(
                "{key} is needed by recovery points of the backup vault {vault} of the account {account} in \
                 {region}, {until}: {pin}"
            ),
            account: account.clone(),
        }
    }
}
