//! The records that the vault's mirror carries: found by their paths, walked over, and put back.
//!
//! It does not know how the mirror keeps them. What is not among them (jobs, events, what is
//! condemned) is gone with a lost catalog.
use model::{Account, ArnKind, Cluster, ClusterName, Grant, Key, Region, Snapshot, SnapshotName};
use serde::{Deserialize, Serialize};

use crate::{
    error::CatalogError,
    tables::{
        access_keys::{self, AccessKey},
        accounts::{self, AccountRow},
        clusters, grants,
        keys::{self, Alias},
        meta,
        outbox::Kind,
        snapshots,
        stored::Stored,
    },
    transaction::Tx,
    value::{Arg, args},
};

/// A record as the mirror has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// An account.
    Account(AccountRow),
    /// An access key.
    AccessKey(AccessKey),
    /// A fact about the deployment.
    Note {
        /// Its name among the catalog's facts.
        name: String,
        /// What it says.
        value: String,
    },
    /// A KMS key.
    Key(Box<Key>),
    /// A key's alias.
    Alias(Alias),
    /// A key's grant.
    Grant(Box<Grant>),
    /// A cluster.
    Cluster(Box<Cluster>),
    /// A snapshot.
    Snapshot(Box<Snapshot>),
}

/// The id in a key's ARN.
fn key_id(grant: &Grant) -> &str {
    grant.key.locate(ArnKind::Key).map_or("", |key| key.name)
}

impl Record {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Account(_) => Kind::Account,
            Self::AccessKey(_) => Kind::AccessKey,
            Self::Note { .. } => Kind::Note,
            Self::Key(_) => Kind::Key,
            Self::Alias(_) => Kind::Alias,
            Self::Grant(_) => Kind::Grant,
            Self::Cluster(_) => Kind::Cluster,
            Self::Snapshot(_) => Kind::Snapshot,
        }
    }

    /// Its region, if it has one.
    pub fn region(&self) -> Option<&Region> {
        match self {
            Self::Account(_) | Self::AccessKey(_) | Self::Note { .. } => None,
            Self::Key(key) => Some(&key.region),
            Self::Alias(alias) => Some(&alias.region),
            Self::Grant(grant) => Some(&grant.key.region),
            Self::Cluster(cluster) => Some(&cluster.region),
            Self::Snapshot(snapshot) => Some(&snapshot.region),
        }
    }

    /// Its path, as its letters have it.
    pub fn path(&self) -> String {
        let parts: Vec<&str> = match self {
            Self::Account(account) => vec![account.id.as_str()],
            Self::AccessKey(key) => vec![&key.id],
            Self::Note { name, .. } => vec![name],
            Self::Key(key) => vec![key.account.as_str(), &key.id],
            Self::Alias(alias) => vec![alias.account.as_str(), &alias.name],
            Self::Grant(grant) => vec![grant.key.account.as_str(), key_id(grant), &grant.id],
            Self::Cluster(cluster) => vec![cluster.account.as_str(), cluster.name.as_str()],
            Self::Snapshot(snapshot) => vec![snapshot.account.as_str(), snapshot.name.as_str()],
        };
        self.kind().path(self.region(), &parts)
    }
}

/// A record, and the version of the state that it shows; 0 where its table has none.
pub type Versioned = (u64, Record);

fn of<T>(stored: Stored<T>, record: impl FnOnce(Box<T>) -> Record) -> Versioned {
    (stored.version, record(Box::new(stored.value)))
}

fn damaged(path: &str) -> CatalogError {
    CatalogError::damaged(format!("the letter about {path}"), None)
}

/// The record of a path as it now is; none when it is gone.
///
/// # Errors
/// `Damaged` when the path is of no record.
pub fn find(tx: &mut dyn Tx, path: &str) -> Result<Option<Record>, CatalogError> {
    let wrong = || damaged(path);
    let (word, rest) = path.split_once('/').ok_or_else(wrong)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
    let kind = kind.ok_or_else(wrong)?;
    match kind {
        Kind::Account => {
            let id: Account = rest.parse().map_err(|_| wrong())?;
            return Ok(accounts::get(tx, &id)?.map(Record::Account));
        }
        Kind::AccessKey => return Ok(access_keys::get(tx, rest)?.map(Record::AccessKey)),
        Kind::Note => return note(tx, rest),
        _ => {}
    }
    let mut parts = rest.splitn(3, '/');
    let mut next = || parts.next().ok_or_else(wrong);
    let region: Region = next()?.parse().map_err(|_| wrong())?;
    let account: Account = next()?.parse().map_err(|_| wrong())?;
    let name = next()?;
    Ok(match kind {
        Kind::Key => keys::get(tx, &region, &account, name)?.map(|row| of(row, Record::Key).1),
        Kind::Alias => keys::get_alias(tx, &region, &account, name)?.map(Record::Alias),
        Kind::Grant => {
            let (key, id) = name.split_once('/').ok_or_else(wrong)?;
            let arn = model::Arn::kms(&region, &account, &format!("key/{key}"));
            grants::get(tx, &arn, id)?.map(|row| of(row, Record::Grant).1)
        }
        Kind::Cluster => {
            let name = ClusterName::parse(name).map_err(|_| wrong())?;
            clusters::get(tx, &region, &account, &name)?.map(|row| of(row, Record::Cluster).1)
        }
        _ => {
            let name = SnapshotName::parse_existing(name).map_err(|_| wrong())?;
            snapshots::get(tx, &region, &account, &name)?.map(|row| of(row, Record::Snapshot).1)
        }
    })
}

fn note(tx: &mut dyn Tx, name: &str) -> Result<Option<Record>, CatalogError> {
    Ok(meta::get(tx, name)?.map(|value| Record::Note {
        name: name.to_owned(),
        value,
    }))
}

/// The records of a kind and region in the order of their keys, from the one behind `after` on;
/// at most `limit`. Notes come all at once.
///
/// # Errors
/// The database's.
pub fn page(
    tx: &mut dyn Tx,
    kind: Kind,
    region: Option<&Region>,
    after: Option<&Record>,
    limit: usize,
) -> Result<Vec<Versioned>, CatalogError> {
    let after_path = after.map(Record::path).unwrap_or_default();
    let rest = |skip: usize| after_path.splitn(skip + 1, '/').nth(skip).unwrap_or("");
    match kind {
        Kind::Account => {
            let rows = accounts::behind(tx, rest(1), limit)?;
            Ok(unversioned(rows, Record::Account))
        }
        Kind::AccessKey => {
            let rows = access_keys::behind(tx, rest(1), limit)?;
            Ok(unversioned(rows, Record::AccessKey))
        }
        Kind::Note if after.is_some() => Ok(Vec::new()),
        Kind::Note => {
            let mut notes = Vec::new();
            for name in meta::MIRRORED {
                notes.extend(note(tx, name)?.map(|record| (0, record)));
            }
            Ok(notes)
        }
        Kind::Alias => {
            let (account, name) = rest(2).split_once('/').unwrap_or(("", ""));
            let rows = keys::aliases_behind(tx, region, account, name, limit)?;
            Ok(unversioned(rows, Record::Alias))
        }
        Kind::Key => bodies(tx, "kms_keys", &["account", "id"], region, rest(2), limit)?
            .map(|row| Ok(of(Stored::from_row("a key", &row)?, Record::Key)))
            .collect(),
        Kind::Grant => {
            let keys = ["account", "key_id", "id"];
            bodies(tx, "kms_grants", &keys, region, rest(2), limit)?
                .map(|row| Ok(of(Stored::from_row("a grant", &row)?, Record::Grant)))
                .collect()
        }
        Kind::Cluster => bodies(tx, "clusters", &["account", "name"], region, rest(2), limit)?
            .map(|row| Ok(of(Stored::from_row("a cluster", &row)?, Record::Cluster)))
            .collect(),
        Kind::Snapshot => bodies(
            tx,
            "snapshots",
            &["account", "name"],
            region,
            rest(2),
            limit,
        )?
        .map(|row| Ok(of(Stored::from_row("a snapshot", &row)?, Record::Snapshot)))
        .collect(),
    }
}

fn unversioned<T>(rows: Vec<T>, record: impl Fn(T) -> Record) -> Vec<Versioned> {
    rows.into_iter().map(|row| (0, record(row))).collect()
}

/// `version, body` of a region's rows behind a key, whose parts are divided by slashes.
fn bodies(
    tx: &mut dyn Tx,
    table: &str,
    key: &[&str],
    region: Option<&Region>,
    after: &str,
    limit: usize,
) -> Result<impl Iterator<Item = crate::value::Row> + use<>, CatalogError> {
    let mut values: Vec<&str> = after.splitn(key.len(), '/').collect();
    values.resize(key.len(), "");
    let mut args: Vec<Arg<'_>> = vec![region.map_or("", Region::as_str).into(), limit.into()];
    args.extend(values.into_iter().map(Arg::from));
    let places: Vec<String> = (3..3 + key.len())
        .map(|place| format!("?{place}"))
        .collect();
    let (key, places) = (key.join(", "), places.join(", "));
    let rows = tx.query(
        &format!(
            "SELECT version, body FROM {table} WHERE region = ?1 AND ({places}) < ({key}) \
             ORDER BY {key} LIMIT ?2"
        ),
        &args,
    )?;
    Ok(rows.into_iter())
}

/// Puts a record into a catalog that does not have it.
///
/// # Errors
/// `Conflict` when it is there already.
pub fn keep(tx: &mut dyn Tx, record: &Record) -> Result<(), CatalogError> {
    match record {
        Record::Account(account) => accounts::insert(tx, account),
        Record::AccessKey(key) => access_keys::insert(tx, key),
        Record::Note { name, value } => meta::set(tx, name, value),
        Record::Key(key) => keys::insert(tx, (**key).clone()).map(drop),
        Record::Alias(alias) => keys::insert_alias(tx, alias),
        Record::Grant(grant) => grants::insert(tx, (**grant).clone()).map(drop),
        Record::Cluster(cluster) => clusters::insert(tx, (**cluster).clone()).map(drop),
        Record::Snapshot(snapshot) => snapshots::insert(tx, (**snapshot).clone()).map(drop),
    }
}

/// Whether nothing of what the mirror carries, and no job, is in the catalog.
///
/// # Errors
/// The database's.
pub fn is_empty(tx: &mut dyn Tx) -> Result<bool, CatalogError> {
    for table in [
        "accounts",
        "access_keys",
        "kms_keys",
        "kms_aliases",
        "kms_grants",
        "clusters",
        "snapshots",
        "jobs",
    ] {
        if !tx
            .query(&format!("SELECT 1 FROM {table} LIMIT ?1"), args![1_usize])?
            .is_empty()
        {
            return Ok(false);
        }
    }
    Ok(true)
}
