//! What a table of records says of itself: to the record log, to a rebuild out of it, and to a copy
//! of the catalog.
//!
//! It does not know which tables there are: `recorded` lists them.
use model::{Account, Region};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        outbox,
        stored::{Stored, decode},
    },
    transaction::Tx,
    value::{Arg, Row, args},
};

/// A table that a copy of the catalog takes along.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns, those of the key first.
    pub columns: &'static [&'static str],
    /// How many columns are the key.
    pub key: usize,
    /// A condition on the rows that are meant; the others belong to the database.
    pub(crate) only: Option<&'static str>,
}

impl Table {
    /// All rows of a table.
    pub(crate) const fn new(
        name: &'static str,
        key: usize,
        columns: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            columns,
            key,
            only: None,
        }
    }

    /// ` WHERE …`, or nothing.
    pub(crate) fn condition(&self) -> String {
        self.only
            .map_or(String::new(), |only| format!(" WHERE {only}"))
    }

    /// The columns of the key.
    pub(crate) fn key(&self) -> &'static [&'static str] {
        self.columns.get(..self.key).unwrap_or_default()
    }
}

/// A record that the record log carries, from which a lost catalog is rebuilt.
pub trait Record: Serialize + DeserializeOwned + 'static {
    /// The first part of its paths in the record log, such as `clusters`.
    const KIND: &'static str;
    /// What a line of the record log calls it, such as `cluster`.
    const TAG: &'static str;
    /// What people call one.
    const WORD: &'static str = Self::TAG;
    /// Its rows. The key begins with `region` where its records have one; the rest are the columns
    /// of [`Record::key`].
    const TABLE: Table;
    /// Tables whose rows follow from its own.
    const DERIVED: &'static [Table] = &[];
    /// What [`Record::from_row`] reads.
    const COLUMNS: &'static str = "version, body";

    /// Which of an account's rows keep it from being deleted, where the table says whose they are:
    /// all, but for those of another record, or that go with their account (none).
    const KEEPS_ACCOUNT: Option<&'static str> = Some("1 = 1");

    /// Its region, if it has one.
    fn region(&self) -> Option<&Region>;

    /// What names it in its region. No part but the last has a slash.
    fn key(&self) -> Vec<&str>;

    /// Reads a row. The version of records that have none of their own is 0.
    ///
    /// # Errors
    /// `Damaged` when it is none of these.
    fn from_row(row: &Row) -> Result<Stored<Self>, CatalogError> {
        Ok(Stored {
            version: row.count(0)?,
            value: decode(Self::TAG, row.text(1)?)?,
        })
    }

    /// Puts a record out of the record log into a catalog that does not have it. `line` is the
    /// document that it was read from, which an older build may have written.
    ///
    /// # Errors
    /// `Conflict` when it is there already.
    fn put_back(tx: &mut dyn Tx, record: Self, line: &Value) -> Result<(), CatalogError>;

    /// Its path in the record log.
    fn path(&self) -> String {
        path::<Self>(self.region(), &self.key())
    }
}

/// The path of a record: `<kind>/<region>/<key>`, without a region where there is none.
pub(crate) fn path<R: Record>(region: Option<&Region>, key: &[&str]) -> String {
    let mut path = R::KIND.to_owned();
    for part in region.map(Region::as_str).iter().chain(key) {
        path.push('/');
        path.push_str(part);
    }
    path
}

/// Notes that a record was changed or deleted, in the transaction that does so.
pub(crate) fn log<R: Record>(
    tx: &mut dyn Tx,
    region: Option<&Region>,
    key: &[&str],
    version: u64,
) -> Result<(), CatalogError> {
    outbox::push(tx, region, path::<R>(region, key), version)
}

/// The same for a record that has no version of its own: one is drawn.
pub(crate) fn log_unversioned<R: Record>(
    tx: &mut dyn Tx,
    region: Option<&Region>,
    key: &[&str],
) -> Result<(), CatalogError> {
    let version = tx.next_version()?;
    log::<R>(tx, region, key, version)
}

/// How many of an account's records keep it from being deleted.
pub(crate) fn holdings<R: Record>(tx: &mut dyn Tx, account: &Account) -> Result<u64, CatalogError> {
    let condition = R::KEEPS_ACCOUNT.filter(|_| R::TABLE.columns.contains(&"account"));
    let Some(condition) = condition else {
        return Ok(0);
    };
    let sql = format!(
        "SELECT count(*) FROM {} WHERE account = ?1 AND {condition}",
        R::TABLE.name
    );
    let rows = tx.query(&sql, args![account])?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}

/// Rows of records.
pub(crate) fn read<R: Record>(rows: &[Row]) -> Result<Vec<Stored<R>>, CatalogError> {
    rows.iter().map(R::from_row).collect()
}

/// The parts of a path behind its kind: as many as the key has columns.
fn parts<R: Record>(tail: &str) -> Vec<&str> {
    tail.splitn(R::TABLE.key, '/').collect()
}

fn and<R: Record>() -> String {
    R::TABLE
        .only
        .map_or(String::new(), |only| format!(" AND {only}"))
}

/// The record of a path, of which `tail` is what follows the kind; none when it is gone.
pub(crate) fn find<R: Record>(
    tx: &mut dyn Tx,
    tail: &str,
) -> Result<Option<Stored<R>>, CatalogError> {
    let parts = parts::<R>(tail);
    if parts.len() != R::TABLE.key {
        return Err(CatalogError::damaged(
            format!("the outbox entry about {}/{tail}", R::KIND),
            None,
        ));
    }
    let args: Vec<Arg<'_>> = parts.into_iter().map(Arg::from).collect();
    let conditions: Vec<String> = (1..)
        .zip(R::TABLE.key())
        .map(|(place, column)| format!("{column} = ?{place}"))
        .collect();
    let rows = tx.query(
        &format!(
            "SELECT {} FROM {} WHERE {}{}",
            R::COLUMNS,
            R::TABLE.name,
            conditions.join(" AND "),
            and::<R>()
        ),
        &args,
    )?;
    rows.first().map(R::from_row).transpose()
}

/// The records of a region, or of none, in the order of their keys, from the one behind `after` on;
/// at most `limit`.
pub(crate) fn page<R: Record>(
    tx: &mut dyn Tx,
    region: Option<&Region>,
    after: Option<&R>,
    limit: usize,
) -> Result<Vec<Stored<R>>, CatalogError> {
    let regional = usize::from(region.is_some());
    let columns = R::TABLE.key().get(regional..).unwrap_or_default();
    let mut args: Vec<Arg<'_>> = vec![limit.into()];
    let mut sql = format!("SELECT {} FROM {} WHERE ", R::COLUMNS, R::TABLE.name);
    if let Some(region) = region {
        args.push(region.into());
        sql.push_str("region = ?2 AND ");
    }
    let mut key = after.map(R::key).unwrap_or_default();
    key.resize(columns.len(), "");
    let places: Vec<String> = (args.len() + 1..)
        .take(columns.len())
        .map(|place| format!("?{place}"))
        .collect();
    args.extend(key.into_iter().map(Arg::from));
    let (columns, places) = (columns.join(", "), places.join(", "));
    sql.push_str(&format!(
        "({places}) < ({columns}){} ORDER BY {columns} LIMIT ?1",
        and::<R>()
    ));
    read(&tx.query(&sql, &args)?)
}
