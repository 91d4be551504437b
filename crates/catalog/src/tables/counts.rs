//! How much there is of what operators watch: read as one, for metrics.
//!
//! Invariant: each count is bounded, since anyone may ask: beyond [`COUNT_MAX`] it is that.
use std::time::Duration;

use model::{Timestamp, limits};

use crate::{error::CatalogError, transaction::Tx, value::args};

/// Of jobs that ended, so many are looked at, the last ones.
const ENDED_MAX: u64 = 2_000;
/// The most that is counted of one thing.
pub const COUNT_MAX: u64 = 100_000;

/// How an open job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// A runner holds it under a lease.
    Running,
    /// It is due, and nobody has claimed it.
    Waiting,
    /// It is to be tried later.
    Sleeping,
}

impl Standing {
    /// All.
    pub const ALL: [Self; 3] = [Self::Running, Self::Waiting, Self::Sleeping];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Sleeping => "sleeping",
        }
    }
}

/// What the catalog has, as one transaction sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open jobs by kind and standing; those that there are.
    pub open_jobs: Vec<(String, Standing, u64)>,
    /// When the last job of a kind failed, or was done, among the last that ended; by kind and
    /// state, those that there are.
    pub last_ends: Vec<(String, String, Timestamp)>,
    /// Clusters by status; those that there are.
    pub clusters: Vec<(String, u64)>,
    /// Record changes that are not in the record log yet.
    pub unlogged: u64,
    /// How long ago the oldest of them was committed.
    pub oldest_unlogged: Duration,
    /// Objects that the sweep has condemned and not deleted yet.
    pub tombstones: u64,
}

/// Counts.
///
/// # Errors
/// The database's.
pub fn read(tx: &mut dyn Tx) -> Result<Counts, CatalogError> {
    let now = tx.now();
    // A lease that lies further ahead than any was written under a wrong clock.
    let far = now.plus(limits::LEASE_MAX);
    let rows = tx.query(
        "SELECT kind, CASE WHEN ?1 < lease_until AND lease_until <= ?2 THEN 'running' \
         WHEN ?1 < run_after THEN 'sleeping' ELSE 'waiting' END AS standing, count(*) \
         FROM (SELECT kind, lease_until, run_after FROM jobs WHERE state = 'open' LIMIT ?3) AS j \
         GROUP BY 1, 2",
        args![now, far, COUNT_MAX],
    )?;
    let mut counts = Counts::default();
    for row in &rows {
        let word = row.text(1)?;
        let standing = Standing::ALL.into_iter().find(|one| one.as_str() == word);
        let standing = standing.expect("the words are those of the statement above");
        let kind = row.text(0)?.to_owned();
        counts.open_jobs.push((kind, standing, row.count(2)?));
    }
    let rows = tx.query(
        "SELECT kind, state, max(finished_at) FROM (SELECT kind, state, finished_at FROM jobs \
         WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT ?1) AS j GROUP BY 1, 2",
        args![ENDED_MAX],
    )?;
    for row in &rows {
        let (kind, state) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
        counts.last_ends.push((kind, state, Timestamp(row.int(2)?)));
    }
    let rows = tx.query(
        "SELECT status, count(*) FROM (SELECT status FROM clusters LIMIT ?1) AS c GROUP BY 1",
        args![COUNT_MAX],
    )?;
    for row in &rows {
        counts
            .clusters
            .push((row.text(0)?.to_owned(), row.count(1)?));
    }
    let rows = tx.query(
        "SELECT count(*), min(at) FROM (SELECT at FROM outbox ORDER BY seq LIMIT ?1) AS o",
        args![COUNT_MAX],
    )?;
    if let Some(row) = rows.first() {
        counts.unlogged = row.count(0)?;
        let oldest = row.int_or_null(1)?.map(Timestamp);
        counts.oldest_unlogged = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
    }
    let rows = tx.query(
        "SELECT count(*) FROM (SELECT 1 FROM condemned WHERE deleted_at IS NULL LIMIT ?1) AS t",
        args![COUNT_MAX],
    )?;
    counts.tombstones = rows.first().map_or(Ok(0), |row| row.count(0))?;
    Ok(counts)
}
