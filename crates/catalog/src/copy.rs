//! Moves everything from one catalog into another, empty one, and compares the two afterwards.
//!
//! It does not know which databases they are in.
//!
//! Rows are read in one transaction, so the copy is one state of the source, and in the order of
//! their keys, so both sides' checksums are over the same sequence.
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use crate::{
    error::{CatalogError, ErrorKind},
    tables::{record::Table, recorded::RECORDS},
    transaction::{Catalog, CatalogExt, Tx},
    value::{Arg, Row},
};

/// Rows read and written at once.
const PAGE: usize = 500;
/// Rows that one INSERT writes.
const ROWS_AT_ONCE: usize = 20;
/// Pages on their way.
const PAGES_MAX: usize = 4;

/// Tables that a copy takes along beside those of records. Nodes stay behind: they enter the new
/// catalog themselves.
static OTHERS: &[Table] = &[
    Table {
        only: Some("name <> 'schema'"),
        ..Table::new("meta", 1, &["name", "value"])
    },
    Table {
        only: Some("name <> 'version'"),
        ..Table::new("counters", 1, &["name", "value"])
    },
    Table::new(
        "jobs",
        1,
        &[
            "id",
            "kind",
            "region",
            "account",
            "subject",
            "state",
            "node",
            "created_at",
            "run_after",
            "finished_at",
            "lease_owner",
            "lease_until",
            "fence",
            "attempts",
            "progress",
            "pins",
            "body",
            "error",
            "subject_sort",
            "keeps_body",
            "traceparent",
        ],
    ),
    Table::new("job_pins", 4, &["job", "region", "volume", "manifest"]),
    Table::new("job_turns", 2, &["region", "account", "turn"]),
    Table::new("webhooks", 1, &["address", "seq"]),
    Table::new("parameter_status", 1, &["instance", "status"]),
    Table::new(
        "condemned",
        2,
        &["region", "path", "condemned_at", "deleted_at"],
    ),
    Table::new("verified_objects", 4, &["job", "region", "volume", "hash"]),
    Table::new(
        "sweep_marks",
        2,
        &["region", "volume", "marked_at", "due_at", "version"],
    ),
    Table::new(
        "link_passes",
        1,
        &["ticket", "region", "volume", "manifest", "held_until"],
    ),
    Table::new("outbox", 1, &["seq", "region", "path", "version", "at"]),
    Table::new(
        "events",
        1,
        &[
            "seq",
            "region",
            "account",
            "source_type",
            "source_id",
            "source_arn",
            "categories",
            "message",
            "event_id",
            "at",
        ],
    ),
];

/// Every table that a copy takes along.
pub fn tables() -> Vec<&'static Table> {
    let of_records = RECORDS
        .iter()
        .flat_map(|kind| std::iter::once(&kind.table).chain(kind.derived));
    // What belongs to the database is left out of the whole table, which is among the others.
    let whole = of_records.filter(|table| table.only.is_none());
    whole.chain(OTHERS).collect()
}

/// What was copied of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// Over all rows in the order of their keys; the same on both sides.
    pub checksum: String,
}

/// Why a copy was not made, or is not good.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source failed.
    #[error("the catalog to copy from failed")]
    From(#[source] CatalogError),
    /// The target failed; what it has is to be thrown away.
    #[error("the catalog to copy into failed, and holds a part")]
    Into(#[source] CatalogError),
    /// There is something already.
    #[error("the catalog to copy into holds {rows} rows of {table} already")]
    NotEmpty {
        /// The first table that is not empty.
        table: &'static str,
        /// Its rows.
        rows: u64,
    },
    /// The two do not agree.
    #[error("the copy of {table} is not the same as its source")]
    Differs {
        /// The first table that differs.
        table: &'static str,
    },
}

/// Copies all of `from` into `into`, and reads it back to compare.
///
/// # Errors
/// [`CopyError`]; a target that was begun must then be made anew.
pub async fn copy(from: &Arc<dyn Catalog>, into: &dyn Catalog) -> Result<Vec<Copied>, CopyError> {
    refuse_filled(into).await?;
    // Also the versions that were drawn and have no row are not drawn again.
    let floor = from
        .write(|tx| tx.next_version())
        .await
        .map_err(CopyError::From)?;
    let tables = Arc::new(tables());
    let (sender, mut pages) = mpsc::channel::<(usize, Vec<Row>)>(PAGES_MAX);
    let source = tokio::spawn(send(Arc::clone(from), sender));
    while let Some((index, rows)) = pages.recv().await {
        let rows = Arc::new(rows);
        let tables = Arc::clone(&tables);
        into.write(move |tx| insert(tx, tables[index], &rows))
            .await
            .map_err(CopyError::Into)?;
    }
    let sent = source
        .await
        .map_err(|_| CopyError::From(CatalogError::Panicked))?
        .map_err(CopyError::From)?;
    into.write(move |tx| tx.raise_version(floor))
        .await
        .map_err(CopyError::Into)?;
    let kept = into
        .read(|tx| summaries(tx, &mut |_, _| Ok(())))
        .await
        .map_err(CopyError::Into)?;
    match sent.iter().zip(&kept).find(|(sent, kept)| sent != kept) {
        Some((sent, _)) => Err(CopyError::Differs { table: sent.table }),
        None => Ok(sent),
    }
}

async fn refuse_filled(into: &dyn Catalog) -> Result<(), CopyError> {
    let counts = into
        .read(|tx| {
            let count = |table: &Table| {
                let rows = tx.query(
                    &format!("SELECT count(*) FROM {}{}", table.name, table.condition()),
                    &[],
                )?;
                rows.first().map_or(Ok(0), |row| row.count(0))
            };
            tables()
                .into_iter()
                .map(count)
                .collect::<Result<Vec<u64>, CatalogError>>()
        })
        .await
        .map_err(CopyError::Into)?;
    match tables().into_iter().zip(counts).find(|(_, rows)| 0 < *rows) {
        Some((table, rows)) => Err(CopyError::NotEmpty {
            table: table.name,
            rows,
        }),
        None => Ok(()),
    }
}

/// Reads all tables in one transaction and hands their rows on.
async fn send(
    from: Arc<dyn Catalog>,
    sender: mpsc::Sender<(usize, Vec<Row>)>,
) -> Result<Vec<Copied>, CatalogError> {
    let (begun, sender) = (AtomicBool::new(false), Mutex::new(Some(sender)));
    from.read(move |tx| {
        let gone = |text: &str| CatalogError::Failed {
            doing: "being copied",
            kind: ErrorKind::Retry,
            source: Arc::new(std::io::Error::other(text.to_owned())),
        };
        if begun.swap(true, Ordering::Relaxed) {
            return Err(gone("its connection was lost on the way"));
        }
        let taken = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sender = taken.ok_or_else(|| gone("it was begun twice"))?;
        summaries(tx, &mut |index, rows| {
            sender
                .blocking_send((index, rows))
                .map_err(|_| gone("the other catalog failed"))
        })
    })
    .await
}

/// Walks over all tables and sums their rows up; `each` gets the rows of every page.
fn summaries(
    tx: &mut dyn Tx,
    each: &mut dyn FnMut(usize, Vec<Row>) -> Result<(), CatalogError>,
) -> Result<Vec<Copied>, CatalogError> {
    let tables = tables();
    let mut all = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let (mut count, mut hasher) = (0, blake3::Hasher::new());
        let mut last: Option<Row> = None;
        loop {
            let rows = page(tx, table, last.as_ref())?;
            count += rows.len() as u64;
            rows.iter().for_each(|row| {
                row.feed(&mut |bytes| {
                    hasher.update(bytes);
                })
            });
            let full = rows.len() == PAGE;
            last = rows.last().cloned();
            each(index, rows)?;
            if !full {
                break;
            }
        }
        all.push(Copied {
            table: table.name,
            rows: count,
            checksum: hasher.finalize().to_hex().to_string(),
        });
    }
    Ok(all)
}

fn page(tx: &mut dyn Tx, table: &Table, last: Option<&Row>) -> Result<Vec<Row>, CatalogError> {
    let (columns, key) = (table.columns.join(", "), table.key().join(", "));
    let mut sql = format!("SELECT {columns} FROM {}{}", table.name, table.condition());
    let mut args: Vec<Arg<'_>> = last.map(|row| row.args(table.key)).unwrap_or_default();
    if !args.is_empty() {
        let places: Vec<String> = (1..=args.len()).map(|place| format!("?{place}")).collect();
        let word = if table.only.is_some() { "AND" } else { "WHERE" };
        sql.push_str(&format!(" {word} ({}) < ({key})", places.join(", ")));
    }
    args.push(PAGE.into());
    sql.push_str(&format!(" ORDER BY {key} LIMIT ?{}", args.len()));
    tx.query(&sql, &args)
}

fn insert(tx: &mut dyn Tx, table: &Table, rows: &[Row]) -> Result<(), CatalogError> {
    let width = table.columns.len();
    for chunk in rows.chunks(ROWS_AT_ONCE) {
        let tuples: Vec<String> = (0..chunk.len())
            .map(|row| {
                let places: Vec<String> = (1..=width)
                    .map(|column| format!("?{}", row * width + column))
                    .collect();
                format!("({})", places.join(", "))
            })
            .collect();
        let args: Vec<Arg<'_>> = chunk.iter().flat_map(|row| row.args(width)).collect();
        tx.execute(
            &format!(
                "INSERT INTO {} ({}) VALUES {}",
                table.name,
                table.columns.join(", "),
                tuples.join(", ")
            ),
            &args,
        )?;
    }
    Ok(())
}
