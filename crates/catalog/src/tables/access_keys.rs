//! Access keys: whose they are and their sealed secrets.
//!
//! It does not know how a secret is sealed, nor how a signature is checked.
use model::{Account, Region, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        record::{self, Record, Table},
        stored::Stored,
    },
    transaction::Tx,
    value::{Row, args},
};

/// Whether a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKeyStatus {
    /// It does.
    Active,
    /// It does not, until it is made active again.
    Inactive,
}

impl AccessKeyStatus {
    /// The word in rows and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA` and 16 more characters.
    pub id: String,
    /// The account that it acts for.
    pub account: Account,
    /// The secret, sealed by the master key for this id.
    pub sealed_secret: Vec<u8>,
    /// Whether it signs.
    pub status: AccessKeyStatus,
    /// When it was made.
    pub created_at: Timestamp,
}

impl AccessKey {
    /// Whether it signs.
    pub fn is_active(&self) -> bool {
        self.status == AccessKeyStatus::Active
    }

    fn read(row: &Row) -> Result<Self, CatalogError> {
        Ok(Self {
            id: row.text(0)?.to_owned(),
            account: row.parsed(1)?,
            sealed_secret: row.blob(2)?.to_vec(),
            status: match row.text(3)? {
                "active" => AccessKeyStatus::Active,
                "inactive" => AccessKeyStatus::Inactive,
                _ => {
                    return Err(CatalogError::damaged(
                        format!("the access key {}", row.text(0)?),
                        None,
                    ));
                }
            },
            created_at: Timestamp(row.int(4)?),
        })
    }
}

impl Record for AccessKey {
    const KIND: &'static str = "access-keys";
    const TAG: &'static str = "access_key";
    const WORD: &'static str = "access key";
    const TABLE: Table = Table::new(
        "access_keys",
        1,
        &["id", "account", "sealed_secret", "status", "created_at"],
    );
    const KEEPS_ACCOUNT: Option<&'static str> = None;
    const COLUMNS: &'static str = "id, account, sealed_secret, status, created_at";

    fn region(&self) -> Option<&Region> {
        None
    }

    fn key(&self) -> Vec<&str> {
        vec![&self.id]
    }

    fn from_row(row: &Row) -> Result<Stored<Self>, CatalogError> {
        Ok(Stored {
            version: 0,
            value: Self::read(row)?,
        })
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        insert(tx, &record)
    }
}

/// Keeps a new key.
///
/// # Errors
/// `Conflict` when the id is taken.
pub fn insert(tx: &mut dyn Tx, key: &AccessKey) -> Result<(), CatalogError> {
    let added = tx.execute(
        "INSERT INTO access_keys (id, account, sealed_secret, status, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        args![
            &key.id,
            &key.account,
            key.sealed_secret.as_slice(),
            key.status.as_str(),
            key.created_at
        ],
    )?;
    if added == 0 {
        return Err(CatalogError::Conflict {
            what: format!("the access key {}", key.id),
        });
    }
    record::log_unversioned::<AccessKey>(tx, None, &[&key.id])
}

/// Finds a key.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut dyn Tx, id: &str) -> Result<Option<AccessKey>, CatalogError> {
    let rows = tx.query(
        "SELECT id, account, sealed_secret, status, created_at FROM access_keys WHERE id = ?1",
        args![id],
    )?;
    rows.first().map(AccessKey::read).transpose()
}

/// An account's keys, or all, by id; at most `limit`.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut dyn Tx,
    account: Option<&Account>,
    limit: usize,
) -> Result<Vec<AccessKey>, CatalogError> {
    let rows = match account {
        Some(account) => tx.query(
            "SELECT id, account, sealed_secret, status, created_at FROM access_keys \
             WHERE account = ?1 ORDER BY id LIMIT ?2",
            args![account, limit],
        )?,
        None => return behind(tx, "", limit),
    };
    rows.iter().map(AccessKey::read).collect()
}

/// All keys by id, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn behind(tx: &mut dyn Tx, after: &str, limit: usize) -> Result<Vec<AccessKey>, CatalogError> {
    let rows = tx.query(
        "SELECT id, account, sealed_secret, status, created_at FROM access_keys \
         WHERE ?1 < id ORDER BY id LIMIT ?2",
        args![after, limit],
    )?;
    rows.iter().map(AccessKey::read).collect()
}

/// Lets a key sign, or not; answers whether there is such a key.
///
/// # Errors
/// The database's.
pub fn set_status(
    tx: &mut dyn Tx,
    id: &str,
    status: AccessKeyStatus,
) -> Result<bool, CatalogError> {
    let changed = tx.execute(
        "UPDATE access_keys SET status = ?2 WHERE id = ?1",
        args![id, status.as_str()],
    )?;
    if changed == 1 {
        record::log_unversioned::<AccessKey>(tx, None, &[id])?;
    }
    Ok(changed == 1)
}

/// Keeps a secret that was sealed anew; answers whether there is such a key.
///
/// # Errors
/// The database's.
pub fn set_secret(tx: &mut dyn Tx, id: &str, sealed: &[u8]) -> Result<bool, CatalogError> {
    let changed = tx.execute(
        "UPDATE access_keys SET sealed_secret = ?2 WHERE id = ?1",
        args![id, sealed],
    )?;
    if changed == 1 {
        record::log_unversioned::<AccessKey>(tx, None, &[id])?;
    }
    Ok(changed == 1)
}

/// Forgets a key; answers whether there was one.
///
/// # Errors
/// The database's.
pub fn delete(tx: &mut dyn Tx, id: &str) -> Result<bool, CatalogError> {
    let deleted = tx.execute("DELETE FROM access_keys WHERE id = ?1", args![id])? == 1;
    if deleted {
        record::log_unversioned::<AccessKey>(tx, None, &[id])?;
    }
    Ok(deleted)
}
