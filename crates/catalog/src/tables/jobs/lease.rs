//! Claims, leases and fences: who may work on a job now, and what its holder records.
//!
//! It does not know what a job does.
use std::time::Duration;

use model::{
    Account, Job, JobId, JobKind, JobState,
    job::{Pin, Progress},
    limits,
};

use super::{close, get};
use crate::{
    error::CatalogError,
    tables::{
        dirty_volumes, pins,
        stored::{encode, one_of},
    },
    transaction::Tx,
    value::{Arg, args},
};

/// A job that sleeps longer than this does so by a wrong clock: twice what is ever asked for, since
/// the clocks of nodes and of the catalog may differ.
const SLEEP_BEYOND: Duration = Duration::from_secs(2 * limits::JOB_SLEEP_MAX.as_secs());

/// What a runner can take on.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Names the runner; a restarted one has another name.
    pub owner: String,
    /// The node it runs on: it gets that node's jobs.
    pub node: String,
    /// Whether it gets jobs of no node too, which any other could run as well.
    pub free: bool,
    /// The kinds that it knows; empty for all. A newer release's may be among the rest.
    pub kinds: Vec<JobKind>,
    /// What it has no room for now.
    pub except: Vec<Except>,
    /// How long the lease lasts unless it is renewed.
    pub lease: Duration,
}

/// What a runner has no room for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Except {
    /// Any job of an account; none: any of the deployment's own.
    Of(Option<Account>),
    /// Any job of a kind.
    Kind(JobKind),
    /// An account's jobs of a kind.
    KindOf(JobKind, Option<Account>),
    /// One job: it runs already, whatever the clock says of its lease.
    Held(JobId),
}

impl Except {
    fn narrow<'a>(&'a self, sql: &mut String, args: &mut Vec<Arg<'a>>) {
        let of = |account: &'a Option<Account>| account.as_ref().map_or("", Account::as_str);
        let mut place = |value: Arg<'a>| {
            args.push(value);
            args.len()
        };
        sql.push_str(&match self {
            Self::Of(account) => format!(" AND j.account <> ?{}", place(of(account).into())),
            Self::Kind(kind) => format!(" AND j.kind <> ?{}", place(kind.as_str().into())),
            Self::KindOf(kind, account) => format!(
                " AND NOT (j.kind = ?{} AND j.account = ?{})",
                place(kind.as_str().into()),
                place(of(account).into())
            ),
            Self::Held(job) => format!(" AND j.id <> ?{}", place((*job).into())),
        });
    }
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

/// Takes the next job under a lease: open, due, not held, of this node or of none. The account
/// that holds the fewest leases now comes first; among equals the account and region whose job was
/// claimed longest ago, then the job that is due longest. The claim raises `fence` and `attempts`.
///
/// A moment that lies further ahead than anyone can have meant was written under a wrong clock: a
/// job that sleeps, or is held, until then is due.
///
/// # Errors
/// The database's.
pub fn claim(tx: &mut dyn Tx, claim: &Claim) -> Result<Option<Job>, CatalogError> {
    let now = tx.now();
    let mut sql = "SELECT j.id, j.region, j.account FROM jobs AS j \
         LEFT JOIN job_turns AS t ON t.region = j.region AND t.account = j.account \
         LEFT JOIN (SELECT account, count(*) AS leases FROM jobs \
         WHERE state = 'open' AND ?1 < lease_until GROUP BY account) AS h ON h.account = j.account \
         WHERE j.state = 'open' AND (j.run_after <= ?1 OR ?2 < j.run_after) \
         AND (j.lease_until IS NULL OR j.lease_until <= ?1 OR ?3 < j.lease_until) \
         AND (j.node = ?4"
        .to_owned();
    sql.push_str(if claim.free {
        " OR j.node IS NULL)"
    } else {
        ")"
    });
    let mut args: Vec<Arg<'_>> = vec![
        now.into(),
        now.plus(SLEEP_BEYOND).into(),
        now.plus(claim.lease.max(limits::LEASE_MAX)).into(),
        claim.node.as_str().into(),
    ];
    let kinds = claim.kinds.iter().map(JobKind::as_str);
    one_of(&mut sql, &mut args, "j.kind", kinds);
    for except in &claim.except {
        except.narrow(&mut sql, &mut args);
    }
    sql.push_str(
        " ORDER BY COALESCE(h.leases, 0), COALESCE(t.turn, 0), j.run_after, j.created_at, j.id \
         LIMIT 1",
    );
    let rows = tx.query(&sql, &args)?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let id: JobId = row.parsed(0)?;
    let (region, account) = (row.text(1)?.to_owned(), row.text(2)?.to_owned());
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
    let kept = checkpoint.pins.as_ref().unwrap_or(&job.pins);
    for gone in job.pins.iter().filter(|pin| !kept.contains(pin)) {
        dirty_volumes::put(tx, &gone.region, &gone.volume)?;
    }
    let progress = checkpoint
        .progress
        .map_or(job.progress, |new| forward(&job.progress, &new));
    tx.execute(
        "UPDATE jobs SET body = ?2, pins = ?3, progress = ?4 WHERE id = ?1",
        args![
            lease.job,
            checkpoint.body.as_ref().unwrap_or(&job.body),
            encode(kept),
            encode(&progress)
        ],
    )?;
    pins::set(tx, lease.job, &job.pins, kept)
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

/// Gives a job back after a try, to be tried again once `wait` is over: at most
/// [`limits::JOB_SLEEP_MAX`].
///
/// # Errors
/// `LeaseLost`.
pub fn release(
    tx: &mut dyn Tx,
    lease: &Lease,
    wait: Duration,
    error: Option<&str>,
) -> Result<(), CatalogError> {
    give_back(tx, lease, wait, error, 0)
}

/// Gives a job back as [`release`] does, and takes back the attempt that the claim counted: the
/// job could not be tried. Since `fence` stays, `fence - attempts` tells how often that was so.
///
/// # Errors
/// `LeaseLost`.
pub fn put_off(
    tx: &mut dyn Tx,
    lease: &Lease,
    wait: Duration,
    error: Option<&str>,
) -> Result<(), CatalogError> {
    give_back(tx, lease, wait, error, 1)
}

fn give_back(
    tx: &mut dyn Tx,
    lease: &Lease,
    wait: Duration,
    error: Option<&str>,
    attempts: u32,
) -> Result<(), CatalogError> {
    guard(tx, lease)?;
    let run_after = tx.now().plus(wait.min(limits::JOB_SLEEP_MAX));
    tx.execute(
        "UPDATE jobs SET run_after = ?2, lease_until = NULL, lease_owner = NULL, \
         attempts = attempts - ?4, error = COALESCE(?3, error) WHERE id = ?1",
        args![lease.job, run_after, error, attempts],
    )?;
    Ok(())
}

/// Binds an open job to another node. Whoever holds it by now has lost it.
///
/// # Errors
/// The database's.
pub fn rebind(tx: &mut dyn Tx, id: JobId, node: &str) -> Result<(), CatalogError> {
    tx.execute(
        "UPDATE jobs SET node = ?2, lease_owner = NULL, lease_until = NULL, fence = fence + 1, \
         attempts = attempts + 1 WHERE id = ?1 AND state = ?3",
        args![id, node, JobState::Open.as_str()],
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
