//! Grants on KMS keys. The key that a grant is on says its region and account.
//!
//! It does not know what a grant permits.
use model::{Account, Arn, ArnKind, Grant, Region};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        record::{self, Record, Table, read},
        stored::{Stored, encode, insert_versioned},
    },
    transaction::Tx,
    value::args,
};

impl Record for Grant {
    const KIND: &'static str = "grants";
    const TAG: &'static str = "grant";
    const TABLE: Table = Table::new(
        "kms_grants",
        4,
        &[
            "region", "account", "key_id", "id", "grantee", "version", "body",
        ],
    );
    const KEEPS_ACCOUNT: Option<&'static str> = None;

    fn region(&self) -> Option<&Region> {
        Some(&self.key.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.key.account.as_str(), key_id(&self.key), &self.id]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        insert(tx, record).map(drop)
    }
}

/// The id in a key's ARN; an ARN of something else has grants of nothing.
fn key_id(key: &Arn) -> &str {
    key.locate(ArnKind::Key).map_or("", |key| key.name)
}

/// Keeps a new grant.
///
/// # Errors
/// `Conflict` when its id is taken.
pub fn insert(tx: &mut dyn Tx, grant: Grant) -> Result<Stored<Grant>, CatalogError> {
    let stored = insert_versioned(
        tx,
        grant,
        |grant| format!("the grant {}", grant.id),
        |tx, grant, version| {
            tx.execute(
                "INSERT INTO kms_grants (region, account, key_id, id, grantee, version, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                args![
                    &grant.key.region,
                    &grant.key.account,
                    key_id(&grant.key),
                    &grant.id,
                    &grant.grantee_account,
                    version,
                    encode(grant)
                ],
            )
        },
    )?;
    log(tx, &stored.value.key, &stored.value.id, stored.version)?;
    Ok(stored)
}

fn log(tx: &mut dyn Tx, key: &Arn, id: &str, version: u64) -> Result<(), CatalogError> {
    let parts = [key.account.as_str(), key_id(key), id];
    record::log::<Grant>(tx, Some(&key.region), &parts, version)
}

/// Finds a key's grant by its id.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut dyn Tx, key: &Arn, id: &str) -> Result<Option<Stored<Grant>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM kms_grants \
         WHERE region = ?1 AND account = ?2 AND key_id = ?3 AND id = ?4",
        args![&key.region, &key.account, key_id(key), id],
    )?;
    Ok(read(&rows)?.pop())
}

/// A key's grants to one account; at most `limit`.
///
/// # Errors
/// The database's.
pub fn to(
    tx: &mut dyn Tx,
    key: &Arn,
    grantee: &Account,
    limit: usize,
) -> Result<Vec<Stored<Grant>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM kms_grants \
         WHERE region = ?1 AND account = ?2 AND key_id = ?3 AND grantee = ?4 ORDER BY id LIMIT ?5",
        args![&key.region, &key.account, key_id(key), grantee, limit],
    )?;
    read(&rows)
}

/// A key's grants by id, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut dyn Tx,
    key: &Arn,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Stored<Grant>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM kms_grants \
         WHERE region = ?1 AND account = ?2 AND key_id = ?3 AND ?4 < id ORDER BY id LIMIT ?5",
        args![
            &key.region,
            &key.account,
            key_id(key),
            after.unwrap_or(""),
            limit
        ],
    )?;
    read(&rows)
}

/// Forgets a grant; answers whether there was one.
///
/// # Errors
/// The database's.
pub fn delete(tx: &mut dyn Tx, key: &Arn, id: &str) -> Result<bool, CatalogError> {
    let deleted = tx.execute(
        "DELETE FROM kms_grants WHERE region = ?1 AND account = ?2 AND key_id = ?3 AND id = ?4",
        args![&key.region, &key.account, key_id(key), id],
    )?;
    if deleted == 1 {
        let version = tx.next_version()?;
        log(tx, key, id, version)?;
    }
    Ok(deleted == 1)
}
