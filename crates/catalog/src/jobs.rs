//! Jobs: durable work, claimed under a lease with a fence.
//!
//! It does not know what a job does; `body` is the kind's own text.
//!
//! Invariant: a job's result is committed in a transaction that calls [`guard`] (or
//! [`checkpoint`], [`finish`], [`release`]). The fence rises with each claim, so a runner that
//! lost its lease, however late it wakes, can change nothing.
use std::time::Duration;

use model::{Account, Job, JobId, JobKind, JobState, Region, Timestamp};
use serde::de::{DeserializeOwned, IntoDeserializer, value};

use crate::{
    error::CatalogError,
    stored::{decode, encode, one_of},
    transaction::Tx,
    value::{Arg, Row, args},
};

const COLUMNS: &str = "id, kind, region, account, subject, state, node, created_at, run_after, \
     lease_owner, lease_until, fence, attempts, progress, pins, body, error";

/// What a runner can take on.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Names the runner; a restarted one has another name.
    pub owner: String,
    /// The node it runs on: it gets that node's jobs and those of no node.
    pub node: String,
    /// The kinds it can run; empty for all.
    pub kinds: Vec<JobKind>,
    /// How long the lease lasts unless it is renewed.
    pub lease: Duration,
}

/// Proof that a runner holds a job: what [`claim`] answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The runner.
    pub owner: String,
    /// The claim's number.
    pub fence: u64,
}

impl Lease {
    /// The lease that a claimed job is under; none when it was never claimed.
    pub fn of(job: &Job) -> Option<Self> {
        Some(Self {
            job: job.id,
            owner: job.lease_owner.clone()?,
            fence: job.fence,
        })
    }
}

/// What a checkpoint writes; `None` leaves what is there.
#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    /// The kind's own document.
    pub body: Option<String>,
    /// What it needs kept.
    pub pins: Option<Vec<model::job::Pin>>,
    /// How far it is.
    pub progress: Option<model::job::Progress>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It did its work.
    Done,
    /// It was given up, for this reason.
    Failed(String),
    /// Its record was gone.
    Canceled,
}

impl End {
    fn state(&self) -> JobState {
        match self {
            Self::Done => JobState::Done,
            Self::Failed(_) => JobState::Failed,
            Self::Canceled => JobState::Canceled,
        }
    }
}

/// Reads an enum of the model by the word that it is stored as.
fn word<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, CatalogError> {
    T::deserialize(row.text(column)?.into_deserializer()).map_err(|error: value::Error| {
        CatalogError::Damaged {
            what: format!("column {column} of a job"),
            source: Some(std::sync::Arc::new(error)),
        }
    })
}

fn from_row(row: &Row) -> Result<Job, CatalogError> {
    Ok(Job {
        id: row.parsed(0)?,
        kind: word(row, 1)?,
        region: row.parsed(2)?,
        account: row.parsed(3)?,
        subject: row.text(4)?.to_owned(),
        state: word(row, 5)?,
        node: row.text_or_null(6)?.map(str::to_owned),
        created_at: Timestamp(row.int(7)?),
        run_after: Timestamp(row.int(8)?),
        lease_owner: row.text_or_null(9)?.map(str::to_owned),
        lease_until: row.int_or_null(10)?.map(Timestamp),
        fence: row.count(11)?,
        attempts: u32::try_from(row.count(12)?).unwrap_or(u32::MAX),
        progress: decode("a job's progress", row.text(13)?)?,
        pins: decode("a job's pins", row.text(14)?)?,
        body: row.text(15)?.to_owned(),
        error: row.text_or_null(16)?.map(str::to_owned),
    })
}

fn read(rows: &[Row]) -> Result<Vec<Job>, CatalogError> {
    rows.iter().map(from_row).collect()
}

/// Keeps a new job, to be called in the transaction that writes the record it works on.
///
/// # Errors
/// `Conflict` when its id is taken.
pub fn insert(tx: &mut dyn Tx, job: &Job) -> Result<(), CatalogError> {
    let added = tx.execute(
        "INSERT INTO jobs (id, kind, region, account, subject, state, node, created_at, \
         run_after, lease_owner, lease_until, fence, attempts, progress, pins, body, error) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
         ON CONFLICT DO NOTHING",
        args![
            job.id,
            job.kind.as_str(),
            &job.region,
            &job.account,
            &job.subject,
            job.state.as_str(),
            job.node.as_ref(),
            job.created_at,
            job.run_after,
            job.lease_owner.as_ref(),
            job.lease_until,
            job.fence,
            job.attempts,
            encode(&job.progress),
            encode(&job.pins),
            &job.body,
            job.error.as_ref()
        ],
    )?;
    if added == 0 {
        return Err(CatalogError::Conflict {
            what: format!("the job {}", job.id),
        });
    }
    Ok(())
}

/// Finds a job.
///
/// # Errors
/// The database's.
pub fn get(tx: &mut dyn Tx, id: JobId) -> Result<Option<Job>, CatalogError> {
    let rows = tx.query(
        &format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1"),
        args![id],
    )?;
    Ok(read(&rows)?.pop())
}

/// Takes the next job under a lease: open, due, not held, of this node or of none. Accounts
/// take turns: the one whose job was claimed longest ago comes first, then the job that is
/// due longest. The claim raises `fence` and `attempts`.
///
/// # Errors
/// The database's.
pub fn claim(tx: &mut dyn Tx, claim: &Claim) -> Result<Option<Job>, CatalogError> {
    let now = tx.now();
    let mut sql = "SELECT j.id, j.account FROM jobs AS j \
         LEFT JOIN job_turns AS t ON t.account = j.account \
         WHERE j.state = 'open' AND j.run_after <= ?1 \
         AND (j.lease_until IS NULL OR j.lease_until <= ?1) \
         AND (j.node IS NULL OR j.node = ?2)"
        .to_owned();
    let mut args: Vec<Arg<'_>> = vec![now.into(), claim.node.as_str().into()];
    let kinds = claim.kinds.iter().map(|kind| kind.as_str());
    one_of(&mut sql, &mut args, "j.kind", kinds);
    sql.push_str(" ORDER BY COALESCE(t.turn, 0), j.run_after, j.created_at, j.id LIMIT 1");
    let rows = tx.query(&sql, &args)?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let (id, account): (JobId, Account) = (row.parsed(0)?, row.parsed(1)?);
    tx.execute(
        "UPDATE jobs SET lease_owner = ?2, lease_until = ?3, fence = fence + 1, \
         attempts = attempts + 1 WHERE id = ?1",
        args![id, &claim.owner, now.plus(claim.lease)],
    )?;
    let turn = tx.next_version()?;
    tx.execute(
        "INSERT INTO job_turns (account, turn) VALUES (?1, ?2) \
         ON CONFLICT (account) DO UPDATE SET turn = excluded.turn",
        args![&account, turn],
    )?;
    get(tx, id)
}

/// The moment at which some job of this node can be claimed, if there is any open one.
///
/// # Errors
/// The database's.
pub fn next_due(tx: &mut dyn Tx, node: &str) -> Result<Option<Timestamp>, CatalogError> {
    let rows = tx.query(
        "SELECT min(CASE WHEN run_after < COALESCE(lease_until, 0) THEN lease_until \
         ELSE run_after END) FROM jobs WHERE state = 'open' AND (node IS NULL OR node = ?1)",
        args![node],
    )?;
    rows.first()
        .map_or(Ok(None), |row| Ok(row.int_or_null(0)?.map(Timestamp)))
}

/// Fails unless the lease's holder still has the job. Called in the transaction that commits a
/// job's result.
///
/// # Errors
/// `LeaseLost` when another has claimed it, or it is no longer open.
pub fn guard(tx: &mut dyn Tx, lease: &Lease) -> Result<(), CatalogError> {
    held(tx, lease).map(|_| ())
}

fn held(tx: &mut dyn Tx, lease: &Lease) -> Result<Job, CatalogError> {
    get(tx, lease.job)?
        .filter(|job| {
            job.state == JobState::Open
                && job.fence == lease.fence
                && job.lease_owner.as_ref() == Some(&lease.owner)
        })
        .ok_or(CatalogError::LeaseLost { job: lease.job })
}

/// Extends a lease from now on and records progress; answers false when the lease is lost.
///
/// # Errors
/// The database's.
pub fn renew(
    tx: &mut dyn Tx,
    lease: &Lease,
    extent: Duration,
    progress: &model::job::Progress,
) -> Result<bool, CatalogError> {
    let job = match held(tx, lease) {
        Ok(job) => job,
        Err(CatalogError::LeaseLost { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let until = tx.now().plus(extent);
    tx.execute(
        "UPDATE jobs SET lease_until = ?2, progress = ?3 WHERE id = ?1",
        args![lease.job, until, encode(&forward(&job.progress, progress))],
    )?;
    Ok(true)
}

/// Records how far a job is and what it needs kept.
///
/// # Errors
/// `LeaseLost`.
pub fn checkpoint(
    tx: &mut dyn Tx,
    lease: &Lease,
    checkpoint: &Checkpoint,
) -> Result<(), CatalogError> {
    let job = held(tx, lease)?;
    let progress = checkpoint
        .progress
        .map_or(job.progress, |new| forward(&job.progress, &new));
    tx.execute(
        "UPDATE jobs SET body = ?2, pins = ?3, progress = ?4 WHERE id = ?1",
        args![
            lease.job,
            checkpoint.body.as_ref().unwrap_or(&job.body),
            encode(checkpoint.pins.as_ref().unwrap_or(&job.pins)),
            encode(&progress)
        ],
    )?;
    Ok(())
}

/// What was moved never gets less, also when a later try starts to count anew.
fn forward(old: &model::job::Progress, new: &model::job::Progress) -> model::job::Progress {
    model::job::Progress {
        bytes_total: new.bytes_total.max(old.bytes_total),
        bytes_done: new.bytes_done.max(old.bytes_done),
        bytes_shipped: new.bytes_shipped.max(old.bytes_shipped),
        objects_shipped: new.objects_shipped.max(old.objects_shipped),
        bytes_held: new.bytes_held,
    }
}

/// Ends a job; its pins end with it.
///
/// # Errors
/// `LeaseLost`.
pub fn finish(tx: &mut dyn Tx, lease: &Lease, end: &End) -> Result<(), CatalogError> {
    guard(tx, lease)?;
    let reason = match end {
        End::Failed(reason) => Some(reason),
        End::Done | End::Canceled => None,
    };
    close(tx, lease.job, end.state(), reason)
}

fn close(
    tx: &mut dyn Tx,
    id: JobId,
    state: JobState,
    error: Option<&String>,
) -> Result<(), CatalogError> {
    let now = tx.now();
    tx.execute(
        "UPDATE jobs SET state = ?2, finished_at = ?3, lease_until = NULL, \
         error = COALESCE(?4, error) WHERE id = ?1",
        args![id, state.as_str(), now, error],
    )?;
    Ok(())
}

/// Gives a job back, to be tried again from `run_after` on.
///
/// # Errors
/// `LeaseLost`.
pub fn release(
    tx: &mut dyn Tx,
    lease: &Lease,
    run_after: Timestamp,
    error: Option<&str>,
) -> Result<(), CatalogError> {
    guard(tx, lease)?;
    tx.execute(
        "UPDATE jobs SET run_after = ?2, lease_until = NULL, lease_owner = NULL, \
         error = COALESCE(?3, error) WHERE id = ?1",
        args![lease.job, run_after, error],
    )?;
    Ok(())
}

/// Ends the leases of owners whose names begin with `prefix`: for a node that knows its own
/// earlier processes to be dead.
///
/// # Errors
/// The database's.
pub fn release_held_by(tx: &mut dyn Tx, prefix: &str) -> Result<u64, CatalogError> {
    tx.execute(
        "UPDATE jobs SET lease_owner = NULL, lease_until = NULL \
         WHERE state = ?1 AND substr(lease_owner, 1, length(?2)) = ?2",
        args![JobState::Open.as_str(), prefix],
    )
}

/// Ends an open job whoever holds it; answers whether it was open. Its holder learns of it at
/// the next renewal or commit, which are refused.
///
/// # Errors
/// The database's.
pub fn cancel(tx: &mut dyn Tx, id: JobId) -> Result<bool, CatalogError> {
    match get(tx, id)? {
        Some(job) if job.state == JobState::Open => {
            close(tx, id, JobState::Canceled, None)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The jobs of one kind on a record's name, newest first; at most 100. Names are used again, so
/// older ones may belong to an earlier record.
///
/// # Errors
/// The database's.
pub fn of_subject(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    subject: &str,
    kind: JobKind,
) -> Result<Vec<Job>, CatalogError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM jobs WHERE region = ?1 AND account = ?2 AND subject = ?3 \
             AND kind = ?4 ORDER BY created_at DESC, id DESC LIMIT 100"
        ),
        args![region, account, subject, kind.as_str()],
    )?;
    read(&rows)
}

/// How many jobs of a kind an account has open in a region.
///
/// # Errors
/// The database's.
pub fn count_open(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    kind: JobKind,
) -> Result<u64, CatalogError> {
    let rows = tx.query(
        "SELECT count(*) FROM jobs \
         WHERE state = 'open' AND region = ?1 AND account = ?2 AND kind = ?3",
        args![region, account, kind.as_str()],
    )?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}

/// The newest jobs, in one state or in any; at most `limit`.
///
/// # Errors
/// The database's.
pub fn list(
    tx: &mut dyn Tx,
    state: Option<JobState>,
    limit: usize,
) -> Result<Vec<Job>, CatalogError> {
    let mut sql = format!("SELECT {COLUMNS} FROM jobs WHERE 1 = 1");
    let mut args = Vec::new();
    one_of(&mut sql, &mut args, "state", state.map(JobState::as_str));
    args.push(limit.into());
    sql.push_str(&format!(
        " ORDER BY created_at DESC, id DESC LIMIT ?{}",
        args.len()
    ));
    read(&tx.query(&sql, &args)?)
}

/// Forgets up to `limit` jobs that ended longer ago than `age`; answers how many.
///
/// # Errors
/// The database's.
pub fn prune(tx: &mut dyn Tx, age: Duration, limit: usize) -> Result<u64, CatalogError> {
    let before = tx.now().minus(age);
    tx.execute(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs \
         WHERE finished_at IS NOT NULL AND finished_at < ?1 ORDER BY finished_at LIMIT ?2)",
        args![before, limit],
    )
}
