//! Jobs of AWS Backup: by their ids, newest first, by where they stand, and by what their callers
//! named them.
use std::time::Duration;

use model::{Account, Arn, BackupJob, BackupJobKind, BackupJobState, Region, Timestamp};
use serde_json::Value;

use crate::{
    error::CatalogError,
    tables::{
        keyed::{self, Keyed},
        record::{Record, Table, read},
        stored::Stored,
    },
    transaction::Tx,
    value::{Arg, Row, args},
};

/// Where a walk is: a job's time and id.
pub type After = (Timestamp, String);

impl Record for BackupJob {
    const KIND: &'static str = "backup_jobs";
    const TAG: &'static str = "backup_job";
    const WORD: &'static str = "backup job";
    const TABLE: Table = Table::new(
        "backup_jobs",
        3,
        &[
            "region",
            "account",
            "id",
            "kind",
            "state",
            "created_at",
            "token",
            "resource_type",
            "resource",
            "version",
            "body",
        ],
    );

    fn region(&self) -> Option<&Region> {
        Some(&self.region)
    }

    fn key(&self) -> Vec<&str> {
        vec![self.account.as_str(), self.id.as_str()]
    }

    fn put_back(tx: &mut dyn Tx, record: Self, _line: &Value) -> Result<(), CatalogError> {
        keyed::insert(tx, record).map(drop)
    }
}

impl Keyed for BackupJob {
    fn what(&self) -> String {
        format!("the backup job {}", self.arn())
    }

    fn searched(&self) -> Vec<Arg<'_>> {
        let token = self.idempotency_token.as_deref();
        vec![
            self.kind.as_str().into(),
            self.state.as_str().into(),
            self.created_at.0.into(),
            token.map_or(Arg::Null, Arg::from),
            self.resource_type.as_str().into(),
            self.resource.to_string().into(),
        ]
    }
}

/// An account's jobs of a kind, the newest first, from the one behind `after` on; at most `limit`.
///
/// # Errors
/// The database's.
pub fn newest(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    kind: BackupJobKind,
    after: Option<&After>,
    limit: usize,
) -> Result<Vec<Stored<BackupJob>>, CatalogError> {
    let (before, id) = after.map_or((i64::MAX, ""), |(at, id)| (at.0, id.as_str()));
    let rows = tx.query(
        "SELECT version, body FROM backup_jobs WHERE region = ?1 AND account = ?2 AND kind = ?3 \
         AND (created_at, id) < (?4, ?5) ORDER BY created_at DESC, id DESC LIMIT ?6",
        args![region, account, kind.as_str(), before, id, limit],
    )?;
    read(&rows)
}

/// An account's newest job of a kind of one resource that stands there.
///
/// # Errors
/// The database's.
pub fn newest_of_resource(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    kind: BackupJobKind,
    resource: &Arn,
    state: BackupJobState,
) -> Result<Option<Stored<BackupJob>>, CatalogError> {
    let resource = resource.to_string();
    let rows = tx.query(
        "SELECT version, body FROM backup_jobs WHERE region = ?1 AND account = ?2 AND kind = ?3 \
         AND resource = ?4 AND state = ?5 ORDER BY created_at DESC, id DESC LIMIT 1",
        args![region, account, kind.as_str(), resource, state.as_str()],
    )?;
    Ok(read(&rows)?.pop())
}

/// All accounts' jobs that stand there, the oldest first, from the one behind `after` on; at most
/// `limit`.
///
/// # Errors
/// The database's.
pub fn in_state(
    tx: &mut dyn Tx,
    region: &Region,
    state: BackupJobState,
    after: Option<&After>,
    limit: usize,
) -> Result<Vec<Stored<BackupJob>>, CatalogError> {
    let (behind, id) = after.map_or((i64::MIN, ""), |(at, id)| (at.0, id.as_str()));
    let rows = tx.query(
        "SELECT version, body FROM backup_jobs WHERE region = ?1 AND state = ?2 \
         AND (?3, ?4) < (created_at, id) ORDER BY created_at, id LIMIT ?5",
        args![region, state.as_str(), behind, id, limit],
    )?;
    read(&rows)
}

/// The job that a caller named so.
///
/// # Errors
/// The database's.
pub fn of_token(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    kind: BackupJobKind,
    token: &str,
) -> Result<Option<Stored<BackupJob>>, CatalogError> {
    let rows = tx.query(
        "SELECT version, body FROM backup_jobs \
         WHERE region = ?1 AND account = ?2 AND kind = ?3 AND token = ?4",
        args![region, account, kind.as_str(), token],
    )?;
    Ok(read(&rows)?.pop())
}

/// Jobs that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// What they back up, copy or make: `Aurora` or `RDS`.
    pub resource_type: String,
    /// Where they stand.
    pub state: String,
    /// In which period they were asked for, counted from `from`.
    pub period: u64,
    /// How many there are.
    pub count: u64,
}

/// Counts an account's jobs of a kind that were asked for from one moment on and before another, by
/// their types, where they stand, and periods of that length.
///
/// # Errors
/// The database's.
pub fn sums(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    kind: BackupJobKind,
    (from, to): (Timestamp, Timestamp),
    period: Duration,
) -> Result<Vec<Sum>, CatalogError> {
    let micros = i64::try_from(period.as_micros()).unwrap_or(i64::MAX);
    let rows = tx.query(
        "SELECT resource_type, state, (created_at - ?4) / ?6 AS period, count(*) FROM backup_jobs \
         WHERE region = ?1 AND account = ?2 AND kind = ?3 AND ?4 <= created_at AND created_at < ?5 \
         GROUP BY resource_type, state, period ORDER BY period, resource_type, state",
        args![region, account, kind.as_str(), from, to, micros.max(1)],
    )?;
    let one = |row: &Row| {
        Ok(Sum {
            resource_type: row.text(0)?.to_owned(),
            state: row.text(1)?.to_owned(),
            period: row.count(2)?,
            count: row.count(3)?,
        })
    };
    rows.iter().map(one).collect()
}
