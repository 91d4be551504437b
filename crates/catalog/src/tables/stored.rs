//! A record beside its version, and its JSON document.
//!
//! It does not know which tables there are.
use std::sync::Arc;

use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer, value},
};

use crate::{error::CatalogError, transaction::Tx, value::Row};

/// A record as the catalog holds it. `version` rises with every change of any record, so it
/// also names this state of the record in the record log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// Changes with every update; an update under another version is refused.
    pub version: u64,
    /// The record.
    pub value: T,
}

/// Reads a document; `what` names it in the error.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, body: &str) -> Result<T, CatalogError> {
    serde_json::from_str(body)
        .map_err(|error| CatalogError::damaged(what.to_owned(), Some(Arc::new(error))))
}

/// Reads an enum of the model by the word that it is stored as.
pub(crate) fn word<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, CatalogError> {
    T::deserialize(row.text(column)?.into_deserializer()).map_err(|error: value::Error| {
        CatalogError::damaged(format!("column {column} of a row"), Some(Arc::new(error)))
    })
}

/// Writes a document.
pub(crate) fn encode<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("records have text keys and no failing serializers")
}

/// Draws the next version and runs an INSERT … ON CONFLICT DO NOTHING that uses it.
pub(crate) fn insert_versioned<T>(
    tx: &mut dyn Tx,
    value: T,
    what: impl FnOnce(&T) -> String,
    insert: impl FnOnce(&mut dyn Tx, &T, u64) -> Result<u64, CatalogError>,
) -> Result<Stored<T>, CatalogError> {
    let version = tx.next_version()?;
    if insert(tx, &value, version)? == 0 {
        return Err(CatalogError::Conflict { what: what(&value) });
    }
    Ok(Stored { version, value })
}

/// Draws the next version and runs an UPDATE that is conditional on the old one.
pub(crate) fn update_versioned<T>(
    tx: &mut dyn Tx,
    stored: Stored<T>,
    what: impl FnOnce(&T) -> String,
    update: impl FnOnce(&mut dyn Tx, &Stored<T>, u64) -> Result<u64, CatalogError>,
) -> Result<Stored<T>, CatalogError> {
    let version = tx.next_version()?;
    if update(tx, &stored, version)? == 0 {
        return Err(CatalogError::Stale {
            what: what(&stored.value),
        });
    }
    Ok(Stored {
        version,
        value: stored.value,
    })
}

/// `IN (?n, …)` or `= ?n` over texts, and the arguments added; nothing for an empty list.
pub(crate) fn one_of<'a>(
    sql: &mut String,
    args: &mut Vec<crate::value::Arg<'a>>,
    column: &str,
    texts: impl IntoIterator<Item = &'a str>,
) {
    let places: Vec<String> = texts
        .into_iter()
        .map(|text| {
            args.push(text.into());
            format!("?{}", args.len())
        })
        .collect();
    match places.as_slice() {
        [] => {}
        [place] => sql.push_str(&format!(" AND {column} = {place}")),
        _ => sql.push_str(&format!(" AND {column} IN ({})", places.join(", "))),
    }
}
