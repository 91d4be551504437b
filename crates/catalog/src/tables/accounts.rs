//! Accounts that were made here.
//!
//! It does not know who may make one. Servers that check no signatures serve any account and
//! keep none here.
use model::{Account, BackupSettings, Drill, LegalHold, ReceiptChain, Region, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        access_keys, keyed, keys,
        record::{self, Record, Table},
        stored::Stored,
    },
    transaction::Tx,
    value::{Row, args},
};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its number.
    pub id: Account,
    /// For people; may be empty.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for AccountRow {
    const KIND: &'static str = "accounts";
    const TAG: &'static str = "account";
    const TABLE: Table = Table::new("accounts", 1, &["id", "name", "created_at"]);
    const COLUMNS: &'static str = "id, name, created_at";

    fn region(&self) -> Option<&Region> {
        None
    }

    fn key(&self) -> Vec<&str> {
        vec![self.id.as_str()]
    }

    fn from_row(row: &Row) -> Result<Stored<Self>, CatalogError> {
        Ok(Stored {
            version: 0,
            value: from_row(row)?,
        })
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        insert(tx, &record)
    }
}

fn from_row(row: &Row) -> Result<AccountRow, CatalogError> {
    Ok(AccountRow {
        id: row.parsed(0)?,
        name: row.text(1)?.to_owned(),
        created_at: Timestamp(row.int(2)?),
    })
}

/// Keeps a new account; answers whether it is new. One that is there stays as it is.
///
/// # Errors
/// The database's.
pub fn ensure(tx: &mut dyn Tx, id: &Account, name: &str) -> Result<bool, CatalogError> {
    let row = AccountRow {
        id: id.clone(),
        name: name.to_owned(),
        created_at: tx.now(),
    };
    add(tx, &row)
}

fn add(tx: &mut dyn Tx, row: &AccountRow) -> Result<bool, CatalogError> {
    let added = tx.execute(
        "INSERT INTO accounts (id, name, created_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        args![&row.id, &row.name, row.created_at],
    )?;
    if added == 1 {
        record::log_unversioned::<AccountRow>(tx, None, &[row.id.as_str()])?;
    }
    Ok(added == 1)
}

/// Keeps an account as it was elsewhere.
///
/// # Errors
/// `Conflict` when its number is taken.
pub fn insert(tx: &mut dyn Tx, row: &AccountRow) -> Result<(), CatalogError> {
    if add(tx, row)? {
        return Ok(());
    }
    Err(CatalogError::Conflict {
        what: format!("the account {}", row.id),
    })
}

/// Finds an account.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut dyn Tx, id: &Account) -> Result<Option<AccountRow>, CatalogError> {
    let rows = tx.query(
        "SELECT id, name, created_at FROM accounts WHERE id = ?1",
        args![id],
    )?;
    rows.first().map(from_row).transpose()
}

/// The accounts by number; at most `limit`.
///
/// # Errors
/// The database's.
pub fn list(tx: &mut dyn Tx, limit: usize) -> Result<Vec<AccountRow>, CatalogError> {
    behind(tx, "", limit)
}

/// The accounts by number, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn behind(tx: &mut dyn Tx, after: &str, limit: usize) -> Result<Vec<AccountRow>, CatalogError> {
    let rows = tx.query(
        "SELECT id, name, created_at FROM accounts WHERE ?1 < id ORDER BY id LIMIT ?2",
        args![after, limit],
    )?;
    rows.iter().map(from_row).collect()
}

/// Forgets an account that owns nothing, with its access keys, what is left of its settings and of legal
/// holds, and the KMS keys that the service managed for it; answers whether there was one.
///
/// # Errors
/// The database's.
pub fn delete(tx: &mut dyn Tx, id: &Account) -> Result<bool, CatalogError> {
    for row in tx.query("SELECT id FROM access_keys WHERE account = ?1", args![id])? {
        access_keys::delete(tx, row.text(0)?)?;
    }
    for row in tx.query(
        "SELECT region, id FROM kms_keys WHERE account = ?1",
        args![id],
    )? {
        keys::delete(tx, &row.parsed(0)?, id, row.text(1)?)?;
    }
    keyed::forget_of_account::<BackupSettings>(tx, id)?;
    keyed::forget_of_account::<LegalHold>(tx, id)?;
    keyed::forget_of_account::<Drill>(tx, id)?;
    keyed::forget_of_account::<ReceiptChain>(tx, id)?;
    let deleted = tx.execute("DELETE FROM accounts WHERE id = ?1", args![id])? == 1;
    if deleted {
        record::log_unversioned::<AccountRow>(tx, None, &[id.as_str()])?;
    }
    Ok(deleted)
}
