//! Facts about the catalog itself, such as its schema and the data folder's mode.
//!
//! It does not know what they mean.
use model::Region;
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

/// The name that the schema's number is kept under; only migrations write it.
pub(crate) const SCHEMA: &str = "schema";
/// The id of the first administrator's access key, whose owner has it in a file.
pub const ADMINISTRATOR: &str = "administrator_access_key";
/// Whether the nodes that share the catalog check signatures.
pub const MODE: &str = "mode";
/// What tells the master key that seals the catalog's secrets from others.
pub const MASTER_KEY: &str = "master_key_fingerprint";
/// How the clock stood when a server last looked at it.
pub const CLOCK: &str = "clock";
/// The authority that clusters' certificates are signed by; its key is sealed.
pub const CLUSTER_AUTHORITY: &str = "cluster_authority";
/// What the passwords of clusters' servers on several nodes are made from; it is sealed. A catalog that is
/// rebuilt makes another, and gives servers their new passwords.
pub const PEER_KEY: &str = "peer_key";
/// The key that receipts of drills are signed by; its private half is sealed.
pub const RECEIPT_KEY: &str = "receipt_key";
/// The facts that the record log carries; the others belong to this one catalog.
const RECORDED: [&str; 4] = [ADMINISTRATOR, MODE, CLUSTER_AUTHORITY, RECEIPT_KEY];

/// A fact that the record log carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: String,
}

impl Record for Note {
    const KIND: &'static str = "notes";
    const TAG: &'static str = "note";
    const TABLE: Table = Table {
        only: Some(
            "name IN ('administrator_access_key', 'cluster_authority', 'mode', 'receipt_key')",
        ),
        ..Table::new("meta", 1, &["name", "value"])
    };
    const COLUMNS: &'static str = "name, value";

    fn region(&self) -> Option<&Region> {
        None
    }

    fn key(&self) -> Vec<&str> {
        vec![&self.name]
    }

    fn from_row(row: &Row) -> Result<Stored<Self>, CatalogError> {
        Ok(Stored {
            version: 0,
            value: Self {
                name: row.text(0)?.to_owned(),
                value: row.text(1)?.to_owned(),
            },
        })
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        set(tx, &record.name, &record.value)
    }
}

/// Reads a fact.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut dyn Tx, name: &str) -> Result<Option<String>, CatalogError> {
    let rows = tx.query("SELECT value FROM meta WHERE name = ?1", args![name])?;
    rows.first()
        .map(|row| row.text(0).map(str::to_owned))
        .transpose()
}

/// Writes a fact over the old one.
///
/// # Errors
/// The database's.
pub fn set(tx: &mut dyn Tx, name: &str, value: &str) -> Result<(), CatalogError> {
    tx.execute(
        "INSERT INTO meta (name, value) VALUES (?1, ?2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        args![name, value],
    )?;
    if RECORDED.contains(&name) {
        record::log_unversioned::<Note>(tx, None, &[name])?;
    }
    Ok(())
}

/// Writes a fact unless there is one; answers the one that stands.
///
/// # Errors
/// The database's.
pub fn get_or_set(tx: &mut dyn Tx, name: &str, value: &str) -> Result<String, CatalogError> {
    if let Some(found) = get(tx, name)? {
        return Ok(found);
    }
    set(tx, name, value)?;
    Ok(value.to_owned())
}

/// Removes a fact that is only this catalog's, or is not to be remembered by the record log either.
///
/// # Errors
/// The database's.
pub(crate) fn unset(tx: &mut dyn Tx, name: &str) -> Result<(), CatalogError> {
    tx.execute("DELETE FROM meta WHERE name = ?1", args![name])?;
    Ok(())
}

/// The highest version drawn so far, as far as is known now.
///
/// # Errors
/// The database's.
pub fn version(tx: &mut dyn Tx) -> Result<u64, CatalogError> {
    tx.version()
}

/// The highest version drawn so far, for what is written outside of the catalog: in a transaction
/// that may write.
///
/// # Errors
/// The database's.
pub fn durable_version(tx: &mut dyn Tx) -> Result<u64, CatalogError> {
    tx.durable_version()
}

/// Lets the next version be above `floor`, as after a rebuild from the record log.
///
/// # Errors
/// The database's.
pub fn raise_version(tx: &mut dyn Tx, floor: u64) -> Result<(), CatalogError> {
    tx.raise_version(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_names_what_is_recorded() {
        let mut names = RECORDED;
        names.sort_unstable();
        let names = names.map(|name| format!("'{name}'")).join(", ");
        assert_eq!(Note::TABLE.only, Some(&*format!("name IN ({names})")));
    }
}
