//! Records whose row is their key, a version and their document, all by the same few functions.
//!
//! It does not know which there are; each is a few lines in a file of its own.
use model::Region;

use crate::{
    error::CatalogError,
    tables::{
        record::{self, Record, read},
        stored::{Stored, encode, insert_versioned, update_versioned},
    },
    transaction::Tx,
    value::Arg,
};

/// A record of a region whose columns are its key, `version` and `body`.
pub trait Keyed: Record {
    /// The record in an error, such as "the subnet group a".
    fn what(&self) -> String;
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
        let place = values.len();
        values.extend([stored.version.into(), version.into(), encode(record).into()]);
        tx.execute(
            &format!(
                "UPDATE {} SET version = ?{}, body = ?{} WHERE {} AND version = ?{}",
                R::TABLE.name,
                place + 2,
                place + 3,
                equal::<R>(R::TABLE.key),
                place + 1
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
