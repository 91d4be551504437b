//! What happened to clusters and snapshots, for those who ask later.
//!
//! It does not know which events there are.
use std::time::Duration;

use model::{Account, Arn, Region, Timestamp};

use crate::{
    error::CatalogError,
    tables::stored::{decode, encode, one_of},
    transaction::Tx,
    value::{AppendTable, Arg, Column, Row, args},
};

static EVENTS: AppendTable = AppendTable::new(
    "events",
    &[
        ("region", Column::Text),
        ("account", Column::Text),
        ("source_type", Column::Text),
        ("source_id", Column::Text),
        ("source_arn", Column::Text),
        ("categories", Column::Text),
        ("message", Column::Text),
        ("event_id", Column::Text),
        ("at", Column::Int),
    ],
);

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its region.
    pub region: Region,
    /// The account that owns the source.
    pub account: Account,
    /// `db-cluster` or `db-cluster-snapshot`.
    pub source_type: String,
    /// The source's name.
    pub source_id: String,
    /// The source's ARN.
    pub source_arn: Arn,
    /// RDS's categories, such as `backup`.
    pub categories: Vec<String>,
    /// The sentence.
    pub message: String,
    /// Such as `RDS-EVENT-0075`.
    pub event_id: String,
    /// When it happened.
    pub at: Timestamp,
}

/// Which events are asked for.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Only of this type of source.
    pub source_type: Option<String>,
    /// Only of this source.
    pub source_id: Option<String>,
    /// From this moment on.
    pub from: Timestamp,
    /// Before this moment.
    pub to: Timestamp,
    /// Only of one of these categories, which are plain words; empty for any.
    pub categories: Vec<String>,
}

/// Where a page ends: an event's moment and its place in the order.
pub type After = (Timestamp, i64);

/// Adds an event, to be called in the transaction that it tells of.
///
/// # Errors
/// The database's.
pub fn insert(tx: &mut dyn Tx, event: &Event) -> Result<(), CatalogError> {
    tx.append(
        &EVENTS,
        args![
            &event.region,
            &event.account,
            &event.source_type,
            &event.source_id,
            event.source_arn.to_string(),
            encode(&event.categories),
            &event.message,
            &event.event_id,
            event.at
        ],
    )
}

fn from_row(row: &Row) -> Result<(After, Event), CatalogError> {
    let at = Timestamp(row.int(8)?);
    let event = Event {
        region: row.parsed(0)?,
        account: row.parsed(1)?,
        source_type: row.text(2)?.to_owned(),
        source_id: row.text(3)?.to_owned(),
        source_arn: Arn::parse(row.text(4)?).map_err(|error| {
            CatalogError::damaged(
                "an event's ARN".to_owned(),
                Some(std::sync::Arc::new(error)),
            )
        })?,
        categories: decode("an event's categories", row.text(5)?)?,
        message: row.text(6)?.to_owned(),
        event_id: row.text(7)?.to_owned(),
        at,
    };
    Ok(((at, row.int(9)?), event))
}

/// An account's events by time, each with the place to go on from; at most `limit`. Those that have no
/// category are not RDS's, and not among them.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    filter: &Filter,
    after: Option<After>,
    limit: usize,
) -> Result<Vec<(After, Event)>, CatalogError> {
    let (at, seq) = after.unwrap_or((filter.from, 0));
    let mut sql = "SELECT region, account, source_type, source_id, source_arn, categories, \
         message, event_id, at, seq FROM events WHERE region = ?1 AND account = ?2 \
         AND ?3 <= at AND at < ?4 AND (?5, ?6) < (at, seq) AND categories <> '[]'"
        .to_owned();
    let mut args: Vec<Arg<'_>> = vec![
        region.into(),
        account.into(),
        filter.from.max(at).into(),
        filter.to.into(),
        at.into(),
        seq.into(),
    ];
    for (column, text) in [
        ("source_type", &filter.source_type),
        ("source_id", &filter.source_id),
    ] {
        one_of(&mut sql, &mut args, column, text.as_deref());
    }
    let places: Vec<String> = filter
        .categories
        .iter()
        .map(|category| {
            args.push(format!("%{}%", encode(category)).into());
            format!("categories LIKE ?{}", args.len())
        })
        .collect();
    if !places.is_empty() {
        sql.push_str(&format!(" AND ({})", places.join(" OR ")));
    }
    args.push(limit.into());
    sql.push_str(&format!(" ORDER BY at, seq LIMIT ?{}", args.len()));
    tx.query(&sql, &args)?.iter().map(from_row).collect()
}

/// Every account's events behind the one of that number, in the order they were kept; at most
/// `limit`.
///
/// # Errors
/// The database's.
pub fn behind(tx: &mut dyn Tx, seq: i64, limit: usize) -> Result<Vec<(i64, Event)>, CatalogError> {
    let rows = tx.query(
        "SELECT region, account, source_type, source_id, source_arn, categories, message, \
         event_id, at, seq FROM events WHERE ?1 < seq ORDER BY seq LIMIT ?2",
        args![seq, limit],
    )?;
    rows.iter()
        .map(|row| from_row(row).map(|((_, seq), event)| (seq, event)))
        .collect()
}

/// The number of the newest event; 0 when there is none.
///
/// # Errors
/// The database's.
pub fn newest(tx: &mut dyn Tx) -> Result<i64, CatalogError> {
    let rows = tx.query("SELECT COALESCE(max(seq), 0) FROM events", &[])?;
    rows.first().map_or(Ok(0), |row| row.int(0))
}

/// Forgets those older than `age` among the first `limit` that were kept; answers how many.
///
/// # Errors
/// The database's.
pub fn prune(tx: &mut dyn Tx, age: Duration, limit: usize) -> Result<u64, CatalogError> {
    let before = tx.now().minus(age);
    tx.execute(
        "DELETE FROM events WHERE seq IN \
         (SELECT seq FROM (SELECT seq, at FROM events ORDER BY seq LIMIT ?2) AS oldest \
         WHERE at < ?1)",
        args![before, limit],
    )
}
