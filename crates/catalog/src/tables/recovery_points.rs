//! Recovery points as their vaults, resources and keys see them: rows that follow from those of
//! snapshots.
//!
//! It does not know what a vault allows.
use std::collections::BTreeMap;

use model::{
    Account, Arn, BackupVaultName, Region, Snapshot, SnapshotName, SnapshotStatus, Timestamp,
};

use crate::{
    error::CatalogError,
    tables::{
        record::{Table, read},
        stored::Stored,
    },
    transaction::Tx,
    value::{Row, args},
};

/// Its rows.
pub(super) const TABLE: Table = Table::new(
    "recovery_points",
    3,
    &[
        "region", "account", "name", "vault", "resource", "kms_key", "made_at", "whole", "goes_at",
    ],
);

/// Where a walk over a resource's recovery points is: one's time and name.
pub type After = (Timestamp, String);

/// Writes what a snapshot's record says, if it is a recovery point.
pub(super) fn write(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<(), CatalogError> {
    let Some(point) = &snapshot.recovery_point else {
        return Ok(());
    };
    // One that could not be made whole cannot be restored, and needs no key.
    let needs_key = snapshot.status != SnapshotStatus::Failed;
    let key = snapshot.kms_key.as_ref().filter(|_| needs_key);
    let key = key.map(Arn::to_string);
    tx.execute(
        "INSERT INTO recovery_points \
         (region, account, name, vault, resource, kms_key, made_at, whole, goes_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (region, account, name) DO UPDATE \
         SET kms_key = excluded.kms_key, whole = excluded.whole, \
         goes_at = excluded.goes_at",
        args![
            &snapshot.region,
            &snapshot.account,
            snapshot.name.as_str(),
            point.vault.as_str(),
            point.resource.to_string(),
            key,
            snapshot.recorded_at,
            i64::from(snapshot.status == SnapshotStatus::Available),
            point.delete_at(snapshot.recorded_at)
        ],
    )?;
    Ok(())
}

/// Forgets it with its snapshot.
pub(super) fn forget(tx: &mut dyn Tx, snapshot: &Snapshot) -> Result<(), CatalogError> {
    if snapshot.recovery_point.is_some() {
        tx.execute(
            "DELETE FROM recovery_points WHERE region = ?1 AND account = ?2 AND name = ?3",
            args![&snapshot.region, &snapshot.account, snapshot.name.as_str()],
        )?;
    }
    Ok(())
}

/// The recovery points of a vault by name, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn in_vault(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    vault: &BackupVaultName,
    after: Option<&SnapshotName>,
    limit: usize,
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let after = after.map_or("", SnapshotName::as_str);
    let rows = tx.query(
        "SELECT s.version, s.body FROM recovery_points AS p JOIN snapshots AS s \
         ON s.region = p.region AND s.account = p.account AND s.name = p.name \
         WHERE p.region = ?1 AND p.account = ?2 AND p.vault = ?3 AND ?4 < p.name \
         ORDER BY p.name LIMIT ?5",
        args![region, account, vault.as_str(), after, limit],
    )?;
    read(&rows)
}

/// The recovery points of a resource, the newest first, from the one behind `after` on; at most
/// `limit`.
///
/// # Errors
/// The database's.
pub fn of_resource(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    resource: &Arn,
    after: Option<&After>,
    limit: usize,
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let (before, name) = after.map_or((i64::MAX, ""), |(at, name)| (at.0, name.as_str()));
    let rows = tx.query(
        "SELECT s.version, s.body FROM recovery_points AS p JOIN snapshots AS s \
         ON s.region = p.region AND s.account = p.account AND s.name = p.name \
         WHERE p.region = ?1 AND p.account = ?2 AND p.resource = ?3 \
         AND (p.made_at, p.name) < (?4, ?5) ORDER BY p.made_at DESC, p.name DESC LIMIT ?6",
        args![region, account, resource.to_string(), before, name, limit],
    )?;
    read(&rows)
}

/// The newest recovery point of a resource that is whole.
///
/// # Errors
/// The database's.
pub fn newest_whole(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    resource: &Arn,
) -> Result<Option<Stored<Snapshot>>, CatalogError> {
    let rows = tx.query(
        "SELECT s.version, s.body FROM recovery_points AS p JOIN snapshots AS s \
         ON s.region = p.region AND s.account = p.account AND s.name = p.name \
         WHERE p.region = ?1 AND p.account = ?2 AND p.resource = ?3 AND p.whole = 1 \
         ORDER BY p.made_at DESC, p.name DESC LIMIT 1",
        args![region, account, resource.to_string()],
    )?;
    Ok(read(&rows)?.pop())
}

/// How many recovery points an account's vaults have, without those that have none.
///
/// # Errors
/// The database's.
pub fn counts(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
) -> Result<BTreeMap<String, u64>, CatalogError> {
    let rows = tx.query(
        "SELECT vault, count(*) FROM recovery_points WHERE region = ?1 AND account = ?2 \
         GROUP BY vault",
        args![region, account],
    )?;
    let one = |row: &Row| Ok((row.text(0)?.to_owned(), row.count(1)?));
    rows.iter().map(one).collect()
}

/// How many recovery points a vault has.
///
/// # Errors
/// The database's.
pub fn count(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    vault: &BackupVaultName,
) -> Result<u64, CatalogError> {
    let rows = tx.query(
        "SELECT count(*) FROM recovery_points \
         WHERE region = ?1 AND account = ?2 AND vault = ?3",
        args![region, account, vault.as_str()],
    )?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}

/// Of each resource that was backed up the last recovery point that is whole, in one vault or in
/// any, by the resources' ARNs from the one behind `after` on; at most `limit`. Their number alone
/// counts, not that of their recovery points.
///
/// # Errors
/// The database's.
pub fn protected(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    vault: Option<&BackupVaultName>,
    after: &str,
    limit: usize,
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    // From one resource to the next one in the index: all others of a resource are passed over.
    let of = match vault {
        Some(_) => "p.region = ?1 AND p.account = ?2 AND p.vault = ?5 AND p.whole = 1",
        None => "p.region = ?1 AND p.account = ?2 AND p.whole = 1",
    };
    let sql = format!(
        "SELECT s.version, s.body FROM (WITH RECURSIVE found (resource, place) AS ( \
         SELECT min(p.resource), 1 FROM recovery_points AS p WHERE {of} AND ?3 < p.resource \
         UNION ALL SELECT (SELECT min(p.resource) FROM recovery_points AS p \
         WHERE {of} AND found.resource < p.resource), found.place + 1 \
         FROM found WHERE found.resource IS NOT NULL AND found.place < ?4) \
         SELECT (SELECT p.name FROM recovery_points AS p \
         WHERE {of} AND p.resource = found.resource \
         ORDER BY p.made_at DESC, p.name DESC LIMIT 1) AS name \
         FROM found WHERE found.resource IS NOT NULL) AS own \
         JOIN snapshots AS s ON s.region = ?1 AND s.account = ?2 AND s.name = own.name"
    );
    let mut values = args![region, account, after, limit].to_vec();
    values.extend(vault.map(|vault| vault.as_str().into()));
    let mut found: Vec<Stored<Snapshot>> = read(&tx.query(&sql, &values)?)?;
    found.sort_by_key(|stored| resource(&stored.value));
    Ok(found)
}

/// The ARN of the resource that a recovery point is of, as texts are ordered.
fn resource(snapshot: &Snapshot) -> Option<String> {
    let point = snapshot.recovery_point.as_ref();
    point.map(|point| point.resource.to_string())
}

/// The recovery points of a vault that need a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsKey {
    /// The vault's region.
    pub region: Region,
    /// Its account.
    pub account: Account,
    /// Its name.
    pub vault: BackupVaultName,
    /// When the last of them goes; none: some stay for ever.
    pub until: Option<Timestamp>,
}

/// Whose recovery points need a key, by vaults.
///
/// # Errors
/// The database's.
pub fn under_key(tx: &mut dyn Tx, key: &Arn) -> Result<Vec<NeedsKey>, CatalogError> {
    let rows = tx.query(
        "SELECT region, account, vault, count(*) - count(goes_at), max(goes_at) \
         FROM recovery_points WHERE kms_key = ?1 GROUP BY region, account, vault \
         ORDER BY region, account, vault",
        args![key.to_string()],
    )?;
    let one = |row: &Row| {
        Ok(NeedsKey {
            region: row.parsed(0)?,
            account: row.parsed(1)?,
            vault: vault(row, 2)?,
            until: match row.count(3)? {
                0 => row.int_or_null(4)?.map(Timestamp),
                _ => None,
            },
        })
    };
    rows.iter().map(one).collect()
}

fn vault(row: &Row, column: usize) -> Result<BackupVaultName, CatalogError> {
    let text = row.text(column)?;
    BackupVaultName::parse(text)
        .map_err(|_| CatalogError::damaged(format!("the name {text:?}"), None))
}

/// An account's recovery points in a region by name, all of them or those that need a key, from the
/// one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn of_account(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    key: Option<&Arn>,
    after: Option<&SnapshotName>,
    limit: usize,
) -> Result<Vec<Stored<Snapshot>>, CatalogError> {
    let of_key = if key.is_some() {
        " AND p.kms_key = ?5"
    } else {
        ""
    };
    let sql = format!(
        "SELECT s.version, s.body FROM recovery_points AS p JOIN snapshots AS s \
         ON s.region = p.region AND s.account = p.account AND s.name = p.name \
         WHERE p.region = ?1 AND p.account = ?2 AND ?3 < p.name{of_key} ORDER BY p.name LIMIT ?4"
    );
    let after = after.map_or("", SnapshotName::as_str);
    let mut values = args![region, account, after, limit].to_vec();
    values.extend(key.map(|key| key.to_string().into()));
    read(&tx.query(&sql, &values)?)
}
