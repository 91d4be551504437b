//! Claims, leases and fences: who may work on a job now, and what its holder records.
//!
//! It does not know what a job does.
use std::time::Duration;

use model::{
    Account, Job, JobId, JobKind, JobState, Region, Timestamp,
    job::{Pin, Progress},
};

use super::{close, get};
use crate::{
    error::CatalogError,
    marks,
    stored::{encode, one_of},
    transaction::Tx,
    value::{Arg, args},
};

/// What a runner can take on.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Names the runner; a restarted one has another name.
    pub owner: String,
    /// The node it runs on: it gets that node's jobs.
    pub node: String,
    /// Whether it gets jobs of no node too, which any other could run as well.
    pub free: bool,
    /// The kinds it can run; empty for all.
    pub kinds: Vec<JobKind>,
    /// A kind that it has no room for now.
    pub except: Option<JobKind>,
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
    pub pins: Option<Vec<Pin>>,
    /// How far it is.
    pub progress: Option<Progress>,
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

/// Takes the next job under a lease: open, due, not held, of this node or of none. Accounts
/// take turns within each region: the one whose job was claimed longest ago there comes first,
/// then the job that is due longest. The claim raises `fence` and `attempts`.
///
/// # Errors
/// The database's.
pub fn claim(tx: &mut dyn Tx, claim: &Claim) -> Result<Option<Job>, CatalogError> {
    let now = tx.now();
    let mut sql = "SELECT j.id, j.region, j.account FROM jobs AS j \
         LEFT JOIN job_turns AS t ON t.region = j.region AND t.account = j.account \
         WHERE j.state = 'open' AND j.run_after <= ?1 \
         AND (j.lease_until IS NULL OR j.lease_until <= ?1) \
         AND (j.node = ?2"
        .to_owned();
    sql.push_str(if claim.free {
        " OR j.node IS NULL)"
    } else {
        ")"
    });
    let mut args: Vec<Arg<'_>> = vec![now.into(), claim.node.as_str().into()];
    let kinds = claim.kinds.iter().map(|kind| kind.as_str());
    one_of(&mut sql, &mut args, "j.kind", kinds);
    if let Some(kind) = claim.except {
        args.push(kind.as_str().into());
        sql.push_str(&format!(" AND j.kind <> ?{}", args.len()));
    }
    sql.push_str(" ORDER BY COALESCE(t.turn, 0), j.run_after, j.created_at, j.id LIMIT 1");
    let rows = tx.query(&sql, &args)?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let id: JobId = row.parsed(0)?;
    let (region, account): (Region, Account) = (row.parsed(1)?, row.parsed(2)?);
    tx.execute(
        "UPDATE jobs SET lease_owner = ?2, lease_until = ?3, fence = fence + 1, \
         attempts = attempts + 1 WHERE id = ?1",
        args![id, &claim.owner, now.plus(claim.lease)],
    )?;
    let turn = tx.next_version()?;
    tx.execute(
        "INSERT INTO job_turns (region, account, turn) VALUES (?1, ?2, ?3) \
         ON CONFLICT (region, account) DO UPDATE SET turn = excluded.turn",
        args![&region, &account, turn],
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
    progress: &Progress,
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
    let pins = checkpoint.pins.as_ref().unwrap_or(&job.pins);
    for gone in job.pins.iter().filter(|pin| !pins.contains(pin)) {
        marks::put(tx, &gone.region, &gone.volume)?;
    }
    let progress = checkpoint
        .progress
        .map_or(job.progress, |new| forward(&job.progress, &new));
    tx.execute(
        "UPDATE jobs SET body = ?2, pins = ?3, progress = ?4 WHERE id = ?1",
        args![
            lease.job,
            checkpoint.body.as_ref().unwrap_or(&job.body),
            encode(pins),
            encode(&progress)
        ],
    )?;
    Ok(())
}

/// What was moved never gets less, also when a later try starts to count anew.
fn forward(old: &Progress, new: &Progress) -> Progress {
    Progress {
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
    let job = held(tx, lease)?;
    let reason = match end {
        End::Failed(reason) => Some(reason),
        End::Done | End::Canceled => None,
    };
    close(tx, &job, end.state(), reason)
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
