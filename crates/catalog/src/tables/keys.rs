//! KMS keys and their aliases.
//!
//! It does not know how key material is sealed, nor what a key policy allows.
use std::time::Duration;

use model::{
    Account, Arn, ArnKind, Key, KeyManager, KeyState, Region, Timestamp,
    key::{MULTI_REGION_ID, MultiRegion},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        record::{self, Record, Table, read},
        stored::{Stored, encode, insert_versioned, update_versioned},
    },
    transaction::Tx,
    value::{Row, args},
};

/// Comes behind all ids of multi-Region keys.
const MULTI_REGION_END: &str = "mrk.";

/// A name for a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// Its region.
    pub region: Region,
    /// Its owner.
    pub account: Account,
    /// With its prefix: `alias/…`.
    pub name: String,
    /// The id of the key that it stands for, of the same region and account.
    pub key_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last got another key.
    pub updated_at: Timestamp,
}

impl Alias {
    /// `arn:…:alias/<name>`.
    pub fn arn(&self) -> Arn {
        Arn::kms(&self.region, &self.account, &self.name)
    }

    fn read(row: &Row) -> Result<Self, CatalogError> {
        Ok(Self {
            region: row.parsed(0)?,
            account: row.parsed(1)?,
            name: row.text(2)?.to_owned(),
            key_id: row.text(3)?.to_owned(),
            created_at: Timestamp(row.int(4)?),
            updated_at: Timestamp(row.int(5)?),
        })
    }
}

fn what(key: &Key) -> String {
    format!("the key {}", key.arn())
}

impl Record for Key {
    const KIND: &'static str = "keys";
    const TAG: &'static str = "key";
    const WORD: &'static str = "KMS key";
    const TABLE: Table = Table::new(
        "kms_keys",
        3,
        &[
            "region",
            "account",
            "id",
            "state",
            "deletion_at",
            "version",
            "body",
            "managed",
            "rotation_at",
        ],
    );
    /// Those that the service manages go with their account.
    const KEEPS_ACCOUNT: Option<&'static str> = Some("managed = 0");

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), &self.id]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        insert(tx, record).map(drop)
    }
}

impl Record for Alias {
    const KIND: &'static str = "aliases";
    const TAG: &'static str = "alias";
    const TABLE: Table = Table::new(
        "kms_aliases",
        3,
        &[
            "region",
            "account",
            "name",
            "key_id",
            "created_at",
            "updated_at",
        ],
    );
    const COLUMNS: &'static str = "region, account, name, key_id, created_at, updated_at";
    const KEEPS_ACCOUNT: Option<&'static str> = None;

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), &self.name]
    }

    fn from_row(row: &Row) -> Result<Stored<Self>, CatalogError> {
        Ok(Stored {
            version: 0,
            value: Self::read(row)?,
        })
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        insert_alias(tx, &record)
    }
}

/// Keeps a new key.
///
/// # Errors
/// `Conflict` when its id is taken.
pub fn insert(tx: &mut dyn Tx, key: Key) -> Result<Stored<Key>, CatalogError> {
    let stored = insert_versioned(tx, key, what, |tx, key, version| {
        tx.execute(
            "INSERT INTO kms_keys \
             (region, account, id, state, deletion_at, rotation_at, managed, version, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
            args![
                &key.region,
                &key.account,
                &key.id,
                key.state.as_str(),
                key.deletion_at,
                rotation_at(key),
                i64::from(key.manager == KeyManager::Aws),
                version,
                encode(key)
            ],
        )
    })?;
    log(tx, &stored.value, stored.version)?;
    Ok(stored)
}

fn log(tx: &mut dyn Tx, key: &Key, version: u64) -> Result<(), CatalogError> {
    let parts = [key.account.as_str(), &key.id];
    record::log::<Key>(tx, Some(&key.region), &parts, version)
}

fn log_alias(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &str,
) -> Result<(), CatalogError> {
    record::log_unversioned::<Alias>(tx, Some(region), &[account.as_str(), name])
}

/// Finds a key by its id.
///
/// # Errors
/// The database's.
pub fn get(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    id: &str,
) -> Result<Option<Stored<Key>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM kms_keys WHERE region = ?1 AND account = ?2 AND id = ?3",
        args![region, account, id],
    )?;
    Ok(read(&rows)?.pop())
}

/// A multi-Region key and its likes in other regions, by region; any other key alone.
///
/// # Errors
/// The database's.
pub fn family(tx: &mut dyn Tx, key: &Key) -> Result<Vec<Stored<Key>>, CatalogError> {
    if key.multi_region.is_none() {
        return Ok(get(tx, &key.region, &key.account, &key.id)?
            .into_iter()
            .collect());
    }
    let rows = tx.query(
        "SELECT version, body FROM kms_keys WHERE account = ?1 AND id = ?2 ORDER BY region",
        args![&key.account, &key.id],
    )?;
    read(&rows)
}

/// Begins the waiting period of a primary key that waits for its replicas, if the last one is
/// gone with `replica`; answers the key then.
///
/// # Errors
/// The database's.
pub fn replica_gone(tx: &mut dyn Tx, replica: &Key) -> Result<Option<Arn>, CatalogError> {
    if replica.multi_region != Some(MultiRegion::Replica) {
        return Ok(None);
    }
    let mut left = family(tx, replica)?;
    let (Some(mut stored), true) = (left.pop(), left.is_empty()) else {
        return Ok(None);
    };
    let key = &mut stored.value;
    let Some(days) = key.pending_window_days.take() else {
        return Ok(None);
    };
    key.state = KeyState::PendingDeletion;
    key.deletion_at = Some(
        tx.now()
            .plus(Duration::from_secs(u64::from(days) * 24 * 3_600)),
    );
    update(tx, stored).map(|stored| Some(stored.value.arn()))
}

/// Lets every multi-Region key have one primary, which a catalog that was filled from the record
/// logs of several regions may not have: what was written last counts.
///
/// # Errors
/// The database's.
pub fn settle_primaries(tx: &mut dyn Tx) -> Result<(), CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM kms_keys WHERE ?1 <= id AND id < ?2 \
         ORDER BY account, id, version",
        args![MULTI_REGION_ID, MULTI_REGION_END],
    )?;
    let keys = read::<Key>(&rows)?;
    for family in keys.chunk_by(|one, next| {
        (&one.value.account, &one.value.id) == (&next.value.account, &next.value.id)
    }) {
        let is_primary =
            |stored: &&Stored<Key>| stored.value.multi_region == Some(MultiRegion::Primary);
        if family.iter().filter(is_primary).count() == 1 {
            continue;
        }
        let plan = family.iter().find_map(|stored| stored.value.rotation);
        for (number, stored) in family.iter().enumerate() {
            let mut stored = stored.clone();
            let is_last = number + 1 == family.len();
            let key = &mut stored.value;
            key.multi_region = Some(match is_last {
                true => MultiRegion::Primary,
                false => MultiRegion::Replica,
            });
            key.rotation = plan.filter(|_| is_last);
            update(tx, stored)?;
        }
    }
    Ok(())
}

/// Finds a key by its ARN; an ARN of something else finds nothing.
///
/// # Errors
/// The database's.
pub fn get_by_arn(tx: &mut dyn Tx, arn: &Arn) -> Result<Option<Stored<Key>>, CatalogError> {
    match arn.locate(ArnKind::Key) {
        Some(key) => get(tx, key.region, key.account, key.name),
        None => Ok(None),
    }
}

/// Writes a changed key; region, account and id stay.
///
/// # Errors
/// `Stale` when it was changed or deleted since `stored` was read.
pub fn update(tx: &mut dyn Tx, stored: Stored<Key>) -> Result<Stored<Key>, CatalogError> {
    let stored = update_versioned(tx, stored, what, |tx, stored, version| {
        let key = &stored.value;
        tx.execute(
            "UPDATE kms_keys \
             SET state = ?5, deletion_at = ?6, rotation_at = ?7, version = ?8, body = ?9 \
             WHERE region = ?1 AND account = ?2 AND id = ?3 AND version = ?4",
            args![
                &key.region,
                &key.account,
                &key.id,
                stored.version,
                key.state.as_str(),
                key.deletion_at,
                rotation_at(key),
                version,
                encode(key)
            ],
        )
    })?;
    log(tx, &stored.value, stored.version)?;
    Ok(stored)
}

/// When a key that rotates by itself is due; only keys in use are rotated.
fn rotation_at(key: &Key) -> Option<Timestamp> {
    let plan = key
        .rotation
        .filter(|_| key.state == model::KeyState::Enabled);
    plan.map(|plan| plan.next_at)
}

/// Keys in use whose rotation is due, oldest date first; at most `limit`.
///
/// # Errors
/// The database's.
pub fn due_for_rotation(tx: &mut dyn Tx, limit: usize) -> Result<Vec<Stored<Key>>, CatalogError> {
    let now = tx.now();
    let rows = tx.query(
        "SELECT version, body FROM kms_keys WHERE rotation_at IS NOT NULL AND rotation_at <= ?1 \
         ORDER BY rotation_at LIMIT ?2",
        args![now, limit],
    )?;
    read(&rows)
}

/// An account's keys by id, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Stored<Key>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM kms_keys WHERE region = ?1 AND account = ?2 AND ?3 < id \
         ORDER BY id LIMIT ?4",
        args![region, account, after.unwrap_or(""), limit],
    )?;
    read(&rows)
}

/// The keys of all regions and accounts, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn behind(
    tx: &mut dyn Tx,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Stored<Key>>, CatalogError> {
    let (region, account, id) = after.map_or(("", "", ""), |key| {
        (key.region.as_str(), key.account.as_str(), key.id.as_str())
    });
    let rows = tx.query(
        "SELECT version, body FROM kms_keys WHERE (?1, ?2, ?3) < (region, account, id) \
         ORDER BY region, account, id LIMIT ?4",
        args![region, account, id, limit],
    )?;
    read(&rows)
}

/// Keys that wait for their deletion, the first date first; at most `limit`.
///
/// # Errors
/// The database's.
pub fn pending_deletion(tx: &mut dyn Tx, limit: usize) -> Result<Vec<Key>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM kms_keys WHERE deletion_at IS NOT NULL \
         ORDER BY deletion_at LIMIT ?1",
        args![limit],
    )?;
    let keys = read(&rows)?;
    Ok(keys
        .into_iter()
        .map(|stored: Stored<Key>| stored.value)
        .collect())
}

/// Whether a cluster or a snapshot of the key's region is under it. Nothing is found by its key: all
/// documents of the region are looked through.
///
/// # Errors
/// The database's.
pub fn is_needed(tx: &mut dyn Tx, key: &Key) -> Result<bool, CatalogError> {
    let said = format!("%\"kms_key\":\"{}\"%", key.arn());
    for table in ["clusters", "snapshots"] {
        let sql = format!("SELECT 1 FROM {table} WHERE region = ?1 AND body LIKE ?2 LIMIT 1");
        if !tx
            .query(&sql, args![&key.region, said.as_str()])?
            .is_empty()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keys whose deletion date has come, oldest date first, from the one behind `after` on; at most
/// `limit`.
///
/// # Errors
/// The database's.
pub fn due_for_deletion(
    tx: &mut dyn Tx,
    after: Option<&Key>,
    limit: usize,
) -> Result<Vec<Stored<Key>>, CatalogError> {
    let now = tx.now();
    let (at, region, account, id) = after.map_or((i64::MIN, "", "", ""), |key| {
        let at = key.deletion_at.map_or(i64::MIN, |at| at.0);
        (
            at,
            key.region.as_str(),
            key.account.as_str(),
            key.id.as_str(),
        )
    });
    let rows = tx.query(
        "SELECT version, body FROM kms_keys WHERE deletion_at IS NOT NULL AND deletion_at <= ?1 \
         AND (?2, ?3, ?4, ?5) < (deletion_at, region, account, id) \
         ORDER BY deletion_at, region, account, id LIMIT ?6",
        args![now, at, region, account, id, limit],
    )?;
    read(&rows)
}

/// Forgets a key, its aliases and its grants; answers whether there was one. The record log
/// hears of the key only: an alias or a grant without its key is none.
///
/// # Errors
/// The database's.
pub fn delete(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    id: &str,
) -> Result<bool, CatalogError> {
    tx.execute(
        "DELETE FROM kms_aliases WHERE region = ?1 AND account = ?2 AND key_id = ?3",
        args![region, account, id],
    )?;
    tx.execute(
        "DELETE FROM kms_grants WHERE region = ?1 AND account = ?2 AND key_id = ?3",
        args![region, account, id],
    )?;
    let deleted = tx.execute(
        "DELETE FROM kms_keys WHERE region = ?1 AND account = ?2 AND id = ?3",
        args![region, account, id],
    )?;
    if deleted == 1 {
        record::log_unversioned::<Key>(tx, Some(region), &[account.as_str(), id])?;
    }
    Ok(deleted == 1)
}

/// Keeps a new alias.
///
/// # Errors
/// `Conflict` when its name is taken.
pub fn insert_alias(tx: &mut dyn Tx, alias: &Alias) -> Result<(), CatalogError> {
    let added = tx.execute(
        "INSERT INTO kms_aliases (region, account, name, key_id, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        args![
            &alias.region,
            &alias.account,
            &alias.name,
            &alias.key_id,
            alias.created_at,
            alias.updated_at
        ],
    )?;
    if added == 0 {
        return Err(CatalogError::Conflict {
            what: format!("the alias {}", alias.arn()),
        });
    }
    log_alias(tx, &alias.region, &alias.account, &alias.name)
}

/// Finds an alias by its name, prefix included.
///
/// # Errors
/// The database's.
pub fn get_alias(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &str,
) -> Result<Option<Alias>, CatalogError> {
    let rows = tx.query(
        "SELECT region, account, name, key_id, created_at, updated_at FROM kms_aliases \
         WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name],
    )?;
    rows.first().map(Alias::read).transpose()
}

/// Lets an alias stand for another key; answers whether there is such an alias.
///
/// # Errors
/// The database's.
pub fn update_alias(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &str,
    key_id: &str,
) -> Result<bool, CatalogError> {
    let now = tx.now();
    let changed = tx.execute(
        "UPDATE kms_aliases SET key_id = ?4, updated_at = ?5 \
         WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name, key_id, now],
    )?;
    if changed == 1 {
        log_alias(tx, region, account, name)?;
    }
    Ok(changed == 1)
}

/// Forgets an alias; answers whether there was one.
///
/// # Errors
/// The database's.
pub fn delete_alias(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    name: &str,
) -> Result<bool, CatalogError> {
    let deleted = tx.execute(
        "DELETE FROM kms_aliases WHERE region = ?1 AND account = ?2 AND name = ?3",
        args![region, account, name],
    )?;
    if deleted == 1 {
        log_alias(tx, region, account, name)?;
    }
    Ok(deleted == 1)
}

/// An account's aliases by name, of one key or of all, from the one behind `after` on; at most
/// `limit`.
///
/// # Errors
/// The database's.
pub fn list_aliases(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    key_id: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Alias>, CatalogError> {
    const COLUMNS: &str = "SELECT region, account, name, key_id, created_at, updated_at \
         FROM kms_aliases WHERE region = ?1 AND account = ?2 AND ?3 < name";
    let after = after.unwrap_or("");
    let rows = match key_id {
        Some(key_id) => tx.query(
            &format!("{COLUMNS} AND key_id = ?4 ORDER BY name LIMIT ?5"),
            args![region, account, after, key_id, limit],
        )?,
        None => tx.query(
            &format!("{COLUMNS} ORDER BY name LIMIT ?4"),
            args![region, account, after, limit],
        )?,
    };
    rows.iter().map(Alias::read).collect()
}
