//! Jobs: durable work, claimed under a lease with a fence.
//!
//! It does not know what a job does; `body` is the kind's own text.
//!
//! Invariant: a job's result is committed in a transaction that calls [`guard`] (or
//! [`checkpoint`], [`finish`], [`release`]). The fence rises with each claim, so a runner that
//! lost its lease, however late it wakes, can change nothing.
mod lease;

use std::time::Duration;

pub use lease::{
    Checkpoint, Claim, End, Except, Lease, checkpoint, claim, finish, guard, put_off, rebind,
    release, release_held_by, renew,
};
use model::{Account, Job, JobId, JobKind, JobState, Region, Timestamp, job::Subject};

use crate::{
    error::CatalogError,
    tables::{
        dirty_volumes, pins,
        stored::{decode, encode, one_of, word},
    },
    transaction::{Touched, Tx},
    value::{Row, args},
};

const COLUMNS: &str = "id, kind, region, account, subject, state, node, created_at, run_after, \
     lease_owner, lease_until, fence, attempts, progress, pins, body, error, subject_sort, \
     keeps_body, traceparent";

fn from_row(row: &Row) -> Result<Job, CatalogError> {
    Ok(Job {
        id: row.parsed(0)?,
        kind: JobKind::read(row.text(1)?),
        // What does not read is the job's own fault, not the table's: its runner fails it.
        subject: Subject::read(
            match row.text(17)? {
                "" => older_sort(row.text(1)?),
                sort => sort,
            },
            row.text(2)?,
            row.text(3)?,
            row.text(4)?,
        ),
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
        keeps_body: row.int(18)? != 0,
        traceparent: row.text_or_null(19)?.map(str::to_owned),
    })
}

/// What a job works on whose row was written before rows said it.
fn older_sort(kind: &str) -> &'static str {
    match kind {
        "create-snapshot" | "copy-snapshot" => "snapshot",
        "verify-vault" => "vault",
        _ => "cluster",
    }
}

fn read(rows: &[Row]) -> Result<Vec<Job>, CatalogError> {
    rows.iter().map(from_row).collect()
}

/// Keeps a new job, to be called in the transaction that writes the record it works on. It belongs to
/// the span that asked for the transaction.
///
/// # Errors
/// `Conflict` when its id is taken.
pub fn insert(tx: &mut dyn Tx, job: &Job) -> Result<(), CatalogError> {
    let traceparent = tx.traceparent().map(str::to_owned);
    let added = tx.execute(
        "INSERT INTO jobs (id, kind, region, account, subject, state, node, created_at, \
         run_after, lease_owner, lease_until, fence, attempts, progress, pins, body, error, \
         subject_sort, keeps_body, traceparent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
         ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
         ON CONFLICT DO NOTHING",
        args![
            job.id,
            job.kind.as_str(),
            job.subject.region().map_or("", Region::as_str),
            job.subject.account().map_or("", Account::as_str),
            job.subject.name(),
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
            job.error.as_ref(),
            job.subject.sort(),
            i64::from(job.keeps_body),
            job.traceparent.as_ref().or(traceparent.as_ref())
        ],
    )?;
    if added == 0 {
        return Err(CatalogError::Conflict {
            what: format!("the job {}", job.id),
        });
    }
    tx.touch(Touched::Jobs);
    pins::set(tx, job.id, &[], &job.pins)
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

fn close(
    tx: &mut dyn Tx,
    job: &Job,
    state: JobState,
    error: Option<&String>,
) -> Result<(), CatalogError> {
    let now = tx.now();
    tx.execute(
        "UPDATE jobs SET state = ?2, finished_at = ?3, lease_until = NULL, \
         body = CASE keeps_body WHEN 1 THEN body ELSE '{}' END, \
         error = COALESCE(?4, error) WHERE id = ?1",
        args![job.id, state.as_str(), now, error],
    )?;
    pins::set(tx, job.id, &job.pins, &[])?;
    dirty_volumes::job_ended(tx, job, state)
}

/// Ends an open job whoever holds it; answers whether it was open. Its holder learns of it at
/// the next renewal or commit, which are refused.
///
/// # Errors
/// The database's.
pub fn cancel(tx: &mut dyn Tx, id: JobId) -> Result<bool, CatalogError> {
    match get(tx, id)? {
        Some(job) if job.state == JobState::Open => {
            close(tx, &job, JobState::Canceled, None)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Ends a job as failed, whoever holds it: for one that nobody can do any more.
///
/// # Errors
/// The database's.
pub fn fail(tx: &mut dyn Tx, job: &Job, reason: &str) -> Result<(), CatalogError> {
    close(tx, job, JobState::Failed, Some(&reason.to_owned()))
}

/// The open jobs that only one node may run, oldest first.
///
/// # Errors
/// The database's.
pub fn bound_to(tx: &mut dyn Tx, node: &str) -> Result<Vec<Job>, CatalogError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM jobs WHERE state = ?1 AND node = ?2 ORDER BY created_at, id"
        ),
        args![JobState::Open.as_str(), node],
    )?;
    read(&rows)
}

/// The jobs of one kind on a record's name, newest first; at most 100. Names are used again, so
/// older ones may belong to an earlier record.
///
/// # Errors
/// The database's.
pub fn of_subject(
    tx: &mut dyn Tx,
    subject: &Subject,
    kind: &JobKind,
) -> Result<Vec<Job>, CatalogError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM jobs WHERE region = ?1 AND account = ?2 AND subject = ?3 \
             AND kind = ?4 ORDER BY created_at DESC, id DESC LIMIT 100"
        ),
        args![
            subject.region().map_or("", Region::as_str),
            subject.account().map_or("", Account::as_str),
            subject.name(),
            kind.as_str()
        ],
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
    kind: &JobKind,
) -> Result<u64, CatalogError> {
    let rows = tx.query(
        "SELECT count(*) FROM jobs \
         WHERE state = 'open' AND region = ?1 AND account = ?2 AND kind = ?3",
        args![region, account, kind.as_str()],
    )?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}

/// Whether any job is not over.
///
/// # Errors
/// The database's.
pub fn is_any_open(tx: &mut dyn Tx) -> Result<bool, CatalogError> {
    let rows = tx.query("SELECT 1 FROM jobs WHERE state = 'open' LIMIT 1", &[])?;
    Ok(!rows.is_empty())
}

/// An account's jobs in a region that are not over, the newest first; at most `limit`.
///
/// # Errors
/// The database's.
pub fn open_of(
    tx: &mut dyn Tx,
    region: &Region,
    account: &Account,
    limit: usize,
) -> Result<Vec<Job>, CatalogError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM jobs WHERE state = 'open' AND region = ?1 AND account = ?2 \
             ORDER BY created_at DESC, id DESC LIMIT ?3"
        ),
        args![region, account, limit],
    )?;
    read(&rows)
}

/// The newest job of a kind, whatever it works on.
///
/// # Errors
/// The database's.
pub fn newest(tx: &mut dyn Tx, kind: &JobKind) -> Result<Option<Job>, CatalogError> {
    let rows = tx.query(
        &format!(
            "SELECT {COLUMNS} FROM jobs WHERE kind = ?1 ORDER BY created_at DESC, id DESC LIMIT 1"
        ),
        args![kind.as_str()],
    )?;
    Ok(read(&rows)?.pop())
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

/// Forgets up to `limit` jobs that ended longer ago than `age`, but the last ones of `kept` that
/// were done, so many as it says; answers how many.
///
/// # Errors
/// The database's.
pub fn prune(
    tx: &mut dyn Tx,
    age: Duration,
    (kept, newest): (&JobKind, usize),
    limit: usize,
) -> Result<u64, CatalogError> {
    let before = tx.now().minus(age);
    tx.execute(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs \
         WHERE finished_at IS NOT NULL AND finished_at < ?1 AND (kind <> ?2 OR id NOT IN \
         (SELECT id FROM jobs WHERE kind = ?2 AND state = 'done' \
         ORDER BY finished_at DESC, id DESC LIMIT ?3)) \
         ORDER BY finished_at LIMIT ?4)",
        args![before, kept.as_str(), newest, limit],
    )
}
