//! Records whose row is their key, a version and their document, all by the same few functions.
//!
//! Adding one is a line in `keyed!`.
use model::{
    Account, BackupSelection, BackupSettings, BackupVault, Drill, LegalHold, ParameterGroup,
    PlanVersion, ReceiptChain, Region, RestoreTestingPlan, RestoreTestingSelection, SubnetGroup,
    Subscription, restore_testing::Stage,
};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        record::{self, Record, Table, read},
        stored::{Stored, encode, insert_versioned, update_versioned},
    },
    transaction::Tx,
    value::Arg,
};

/// A record of a region whose columns are its key, what is searched besides, `version` and `body`.
pub trait Keyed: Record {
    /// The columns between the key's and `version`.
    fn searched(&self) -> Vec<Arg<'_>> {
        Vec::new()
    }

    /// The record in an error, such as "the subnet group a".
    fn what(&self) -> String;
}

macro_rules! keyed {
    ($($record:ty {
        table: $table:literal,
        tag: $tag:literal,
        word: $word:literal,
        key: [$($column:literal),+] = $key:expr,
        $(keeps_account: $keeps:expr,)?
        $(searched: [$($searched:literal),+] = $values:expr,)?
    })*) => {$(
        impl Record for $record {
            const KIND: &'static str = $table;
            const TAG: &'static str = $tag;
            const WORD: &'static str = $word;
            const TABLE: Table = {
                let key = &["region", $($column,)+];
                let columns = &["region", $($column,)+ $($($searched,)+)? "version", "body"];
                Table::new($table, key.len(), columns)
            };

            $(const KEEPS_ACCOUNT: Option<&'static str> = $keeps;)?

            fn region(&self) -> Option<&Region> {
                Some(&self.region)
            }

            fn key(&self) -> Vec<&str> {
                let key: fn(&Self) -> Vec<&str> = $key;
                key(self)
            }

            fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
                insert(tx, record).map(drop)
            }
        }

        impl Keyed for $record {
            fn what(&self) -> String {
                format!("the {} {}", $word, self.arn())
            }

            $(fn searched(&self) -> Vec<Arg<'_>> {
                let values: fn(&Self) -> Vec<Arg<'_>> = $values;
                values(self)
            })?
        }
    )*};
}

keyed! {
    SubnetGroup {
        table: "subnet_groups",
        tag: "subnet_group",
        word: "DB subnet group",
        key: ["account", "name"] = |group| vec![group.account.as_str(), group.name.as_str()],
    }
    ParameterGroup {
        table: "parameter_groups",
        tag: "parameter_group",
        word: "parameter group",
        key: ["account", "scope", "name"] =
            |group| vec![group.account.as_str(), group.scope.as_str(), &group.name],
    }
    Subscription {
        table: "event_subscriptions",
        tag: "event_subscription",
        word: "event subscription",
        key: ["account", "name"] = |one| vec![one.account.as_str(), one.name.as_str()],
    }
    BackupVault {
        table: "backup_vaults",
        tag: "backup_vault",
        word: "backup vault",
        key: ["account", "name"] = |vault| vec![vault.account.as_str(), vault.name.as_str()],
    }
    LegalHold {
        table: "legal_holds",
        tag: "legal_hold",
        word: "legal hold",
        key: ["account", "id"] = |hold| vec![hold.account.as_str(), hold.id.as_str()],
        keeps_account: Some("active = 1"),
        searched: ["active"] = |hold| vec![i64::from(hold.cancelled.is_none()).into()],
    }
    PlanVersion {
        table: "backup_plan_versions",
        tag: "backup_plan_version",
        word: "version of a backup plan",
        key: ["account", "plan", "id"] =
            |one| vec![one.account.as_str(), one.plan.as_str(), one.body.version.as_str()],
    }
    BackupSettings {
        table: "backup_settings",
        tag: "backup_settings",
        word: "settings of AWS Backup",
        key: ["account"] = |one| vec![one.account.as_str()],
        keeps_account: None,
    }
    BackupSelection {
        table: "backup_selections",
        tag: "backup_selection",
        word: "backup selection",
        key: ["account", "plan", "id"] =
            |one| vec![one.account.as_str(), one.plan.as_str(), one.id.as_str()],
    }
    RestoreTestingPlan {
        table: "restore_testing_plans",
        tag: "restore_testing_plan",
        word: "restore testing plan",
        key: ["account", "name"] = |plan| vec![plan.account.as_str(), plan.name.as_str()],
        searched: ["due"] = |plan| vec![plan.due.map_or(Arg::Null, |due| due.0.into())],
    }
    RestoreTestingSelection {
        table: "restore_testing_selections",
        tag: "restore_testing_selection",
        word: "restore testing selection",
        key: ["account", "plan", "name"] =
            |one| vec![one.account.as_str(), one.plan.as_str(), one.name.as_str()],
    }
    Drill {
        table: "drills",
        tag: "drill",
        word: "drill",
        key: ["account", "id"] = |drill| vec![drill.account.as_str(), drill.id.as_str()],
        keeps_account: Some("is_open = 1"),
        searched: ["planned_at", "is_open"] = |drill| vec![
            drill.planned_at.0.into(),
            i64::from(drill.stage != Stage::Over).into(),
        ],
    }
    ReceiptChain {
        table: "receipt_chains",
        tag: "receipt_chain",
        word: "chain of receipts",
        key: ["account"] = |chain| vec![chain.account.as_str()],
        keeps_account: None,
    }
}

fn region_of<R: Keyed>(record: &R) -> &Region {
    record.region().expect("such records are of a region")
}

/// `a = ?1 AND b = ?2` over the first columns of the key.
fn equal<R: Keyed>(columns: usize) -> String {
    let of_key = R::TABLE.key().iter().take(columns);
    let conditions: Vec<String> = (1..)
        .zip(of_key)
        .map(|(place, column)| format!("{column} = ?{place}"))
        .collect();
    conditions.join(" AND ")
}

fn args<'a>(region: &'a Region, key: &[&'a str]) -> Vec<Arg<'a>> {
    let key = key.iter().copied().map(Arg::from);
    std::iter::once(Arg::from(region)).chain(key).collect()
}

/// Keeps a new record.
///
/// # Errors
/// `Conflict` when its name is taken.
pub fn insert<R: Keyed>(tx: &mut dyn Tx, record: R) -> Result<Stored<R>, CatalogError> {
    let stored = insert_versioned(tx, record, R::what, |tx, record, version| {
        let places: Vec<String> = (1..=R::TABLE.columns.len())
            .map(|place| format!("?{place}"))
            .collect();
        let mut values = args(region_of(record), &record.key());
        values.extend(record.searched());
        values.extend([version.into(), encode(record).into()]);
        tx.execute(
            &format!(
                "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
                R::TABLE.name,
                R::TABLE.columns.join(", "),
                places.join(", ")
            ),
            &values,
        )
    })?;
    let record = &stored.value;
    record::log::<R>(tx, record.region(), &record.key(), stored.version)?;
    Ok(stored)
}

/// Finds a record by its key.
///
/// # Errors
/// The database's.
pub fn get<R: Keyed>(
    tx: &mut dyn Tx,
    region: &Region,
    key: &[&str],
) -> Result<Option<Stored<R>>, CatalogError> {
    let rows = tx.query(
        &format!(
            "SELECT {} FROM {} WHERE {}",
            R::COLUMNS,
            R::TABLE.name,
            equal::<R>(R::TABLE.key)
        ),
        &args(region, key),
    )?;
    Ok(read(&rows)?.pop())
}

/// Writes a changed record; its key stays.
///
/// # Errors
/// `Stale` when it was changed or deleted since `stored` was read.
pub fn update<R: Keyed>(tx: &mut dyn Tx, stored: Stored<R>) -> Result<Stored<R>, CatalogError> {
    let stored = update_versioned(tx, stored, R::what, |tx, stored, version| {
        let record = &stored.value;
        let mut values = args(region_of(record), &record.key());
        let behind_key = R::TABLE.columns.iter().skip(values.len());
        let changes: Vec<String> = (values.len() + 1..)
            .zip(behind_key)
            .map(|(place, column)| format!("{column} = ?{place}"))
            .collect();
        values.extend(record.searched());
        values.extend([version.into(), encode(record).into(), stored.version.into()]);
        tx.execute(
            &format!(
                "UPDATE {} SET {} WHERE {} AND version = ?{}",
                R::TABLE.name,
                changes.join(", "),
                equal::<R>(R::TABLE.key),
                values.len()
            ),
            &values,
        )
    })?;
    let record = &stored.value;
    record::log::<R>(tx, record.region(), &record.key(), stored.version)?;
    Ok(stored)
}

/// Forgets a record; answers whether there was one.
///
/// # Errors
/// The database's.
pub fn delete<R: Keyed>(tx: &mut dyn Tx, record: &R) -> Result<bool, CatalogError> {
    let deleted = tx.execute(
        &format!(
            "DELETE FROM {} WHERE {}",
            R::TABLE.name,
            equal::<R>(R::TABLE.key)
        ),
        &args(region_of(record), &record.key()),
    )?;
    if deleted == 1 {
        record::log_unversioned::<R>(tx, record.region(), &record.key())?;
    }
    Ok(deleted == 1)
}

/// Forgets an account's records, in all regions.
///
/// # Errors
/// The database's.
pub(crate) fn forget_of_account<R: Keyed>(
    tx: &mut dyn Tx,
    account: &Account,
) -> Result<(), CatalogError> {
    for stored in of_account::<R>(tx, account)? {
        delete(tx, &stored.value)?;
    }
    Ok(())
}

/// An account's records, in all regions. They have to be few.
///
/// # Errors
/// The database's.
pub fn of_account<R: Keyed>(
    tx: &mut dyn Tx,
    account: &Account,
) -> Result<Vec<Stored<R>>, CatalogError> {
    let sql = format!(
        "SELECT {} FROM {} WHERE account = ?1",
        R::COLUMNS,
        R::TABLE.name
    );
    read(&tx.query(&sql, &[account.into()])?)
}

/// The records whose key begins with `above`, in the order of their keys; at most `limit`. They are
/// few: each kind has a quota.
///
/// # Errors
/// The database's.
pub fn list<R: Keyed>(
    tx: &mut dyn Tx,
    region: &Region,
    above: &[&str],
    limit: usize,
) -> Result<Vec<Stored<R>>, CatalogError> {
    let mut values = args(region, above);
    values.push(limit.into());
    let rows = tx.query(
        &format!(
            "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT ?{}",
            R::COLUMNS,
            R::TABLE.name,
            equal::<R>(values.len() - 1),
            R::TABLE.key().join(", "),
            values.len()
        ),
        &values,
    )?;
    read(&rows)
}
