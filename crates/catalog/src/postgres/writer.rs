//! The thread that writes: it gathers what waits, runs it in one transaction, commits once.
//!
//! It does not know what the requests do.
//!
//! Invariant: a request is answered well only after the COMMIT that holds it was answered, or
//! was found out to have happened. A transaction that is run again is one that certainly did not.
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    clock::{CLOCK, last_row, moment},
    commit_marker::CommitMarker,
    error::SessionError,
    session::Session,
    tx::{PostgresTx, Shared},
    url::Place,
};
use crate::{
    error::CatalogError,
    queue::{Request, RequestQueue},
    transaction::{Verdict, Work},
};

/// Requests that share one commit at most. PostgreSQL remembers 64 parts of a transaction
/// cheaply; each request is one.
const BATCH_MAX: usize = 60;
/// Tries of one transaction that others were in the way of. From the second on it runs alone.
const TRIES_MAX: u32 = 6;
/// How long a request may wait for a server that went away.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);
/// How many transactions run alone from the start after one met another: on one account's records
/// nodes would else spend half their time on tries that are refused.
const ALONE_AFTER_CONFLICT: u32 = 32;

/// What became of one request's function.
enum Ran {
    Good,
    Panicked,
    Failed(CatalogError),
}

/// The writing thread's parts.
pub(super) struct Writer {
    pub(super) place: Place,
    pub(super) session: Option<Session>,
    pub(super) marker: CommitMarker,
    pub(super) queue: RequestQueue,
    pub(super) commits: Arc<AtomicU64>,
    /// Since when the server is away.
    pub(super) away_since: Option<Instant>,
    /// Transactions that are still to run alone.
    pub(super) crowded: u32,
    /// Whether the last transaction needed versions.
    pub(super) draws: bool,
}

impl Writer {
    /// Serves until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut batch = VecDeque::with_capacity(BATCH_MAX);
        while let Some(first) = self.queue.blocking_recv() {
            batch.push_back(first);
            // Where nobody waits for the answer any more, the caller gave up before it began.
            batch.retain(|request| !request.answer.is_closed());
            self.serve(&mut batch);
        }
        self.marker.forget(self.session.as_ref());
    }

    /// Runs a batch until it is decided, and answers each request.
    fn serve(&mut self, batch: &mut VecDeque<Request>) {
        if batch.is_empty() {
            return;
        }
        let outcome = self.decide(batch);
        match outcome {
            Ok(ran) => {
                for (request, ran) in batch.drain(..).zip(ran) {
                    let answer = match ran {
                        Ran::Good => Ok(()),
                        Ran::Panicked => Err(CatalogError::Panicked),
                        Ran::Failed(error) => Err(error),
                    };
                    // Whoever asked may have gone since; what was kept stays kept.
                    request.answer.send(answer).ok();
                }
            }
            Err(trouble) => {
                let error = trouble.told();
                for request in batch.drain(..) {
                    request.answer.send(Err(error.clone())).ok();
                }
            }
        }
    }

    fn decide(&mut self, batch: &mut VecDeque<Request>) -> Result<Vec<Ran>, SessionError> {
        let (mut conflicts, mut lost) = (0, 0);
        loop {
            match self.attempt(batch, 0 < self.crowded) {
                Ok(ran) => {
                    self.away_since = None;
                    self.crowded = self.crowded.saturating_sub(1);
                    return Ok(ran);
                }
                Err(SessionError::Conflict) if conflicts < TRIES_MAX => {
                    conflicts += 1;
                    self.crowded = ALONE_AFTER_CONFLICT;
                }
                Err(SessionError::Lost(source)) => {
                    self.session = None;
                    let away = *self.away_since.get_or_insert_with(Instant::now);
                    // One more try beyond its patience for a batch that comes later.
                    if PATIENCE < away.elapsed() && 0 < lost {
                        return Err(SessionError::Lost(source));
                    }
                    // Often it is back at once: only the connection was old.
                    if 0 < lost {
                        thread::sleep(PAUSE);
                    }
                    lost += 1;
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// One try. Its trouble says whether anything may have been kept: only `Unknown` leaves
    /// that open.
    fn attempt(
        &mut self,
        batch: &mut VecDeque<Request>,
        alone: bool,
    ) -> Result<Vec<Ran>, SessionError> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = Session::open(&self.place)?;
                self.marker.enter(&session)?;
                session
            }
        };
        let worked = begin(&mut session, alone, self.draws).and_then(|mut shared| {
            // Only now: more may have come while the lock was waited for.
            gather(&mut self.queue, batch);
            let ran = transaction(&mut session, batch, &mut shared)?;
            self.draws = shared.drew;
            Ok(ran)
        });
        match worked {
            Ok((ran, true)) => {
                // The session is given up when anything is unclear.
                if let Err(cause) = self.marker.commit(&session) {
                    if let SessionError::Conflict | SessionError::Failed(_) = &cause {
                        session.simple("ROLLBACK")?;
                        self.session = Some(session);
                        return Err(cause);
                    }
                    drop(session);
                    self.find_out(cause)?;
                } else {
                    self.session = Some(session);
                }
                self.commits.fetch_add(1, Ordering::Relaxed);
                Ok(ran)
            }
            Ok((ran, false)) => {
                session.simple("COMMIT")?;
                self.session = Some(session);
                Ok(ran)
            }
            Err(SessionError::Lost(source)) => Err(SessionError::Lost(source)),
            Err(trouble) => {
                session.simple("ROLLBACK")?;
                self.session = Some(session);
                Err(trouble)
            }
        }
    }

    /// Learns what became of a commit whose answer was lost: good when it happened, `Lost` when
    /// it did not and never will, `Unknown` when nobody tells in time.
    fn find_out(&mut self, cause: SessionError) -> Result<(), SessionError> {
        let began = Instant::now();
        loop {
            let asked = Session::open(&self.place).and_then(|session| {
                let happened = self.marker.happened(&session)?;
                Ok((session, happened))
            });
            match asked {
                Ok((session, Some(happened))) => {
                    self.session = Some(session);
                    tracing::info!(happened, "found out about a commit whose answer was lost");
                    return if happened { Ok(()) } else { Err(lost(cause)) };
                }
                Ok((_, None)) => return Err(unknown(cause)),
                Err(error) if PATIENCE < began.elapsed() => {
                    tracing::error!(
                        ?error,
                        "cannot find out about a commit whose answer was lost"
                    );
                    self.away_since.get_or_insert(began);
                    return Err(unknown(cause));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }
}

fn lost(cause: SessionError) -> SessionError {
    match cause {
        SessionError::Lost(source) | SessionError::Unknown(source) => SessionError::Lost(source),
        other => SessionError::Lost(Arc::new(other.told())),
    }
}

fn unknown(cause: SessionError) -> SessionError {
    match lost(cause) {
        SessionError::Lost(source) => SessionError::Unknown(source),
        other => other,
    }
}

/// Takes what waits in the queue into the batch.
fn gather(queue: &mut RequestQueue, batch: &mut VecDeque<Request>) {
    while batch.len() < BATCH_MAX
        && let Ok(next) = queue.try_recv()
    {
        if !next.answer.is_closed() {
            batch.push_back(next);
        }
    }
}

/// Begins a transaction, and draws as many versions as it may need when the last one needed any.
fn begin(session: &mut Session, alone: bool, draws: bool) -> Result<Shared, SessionError> {
    // The lock comes before the first look at any row: LOCK takes no snapshot.
    let lock = if alone { "EXCLUSIVE" } else { "ROW SHARE" };
    // The SELECT does, before it draws: a version that was drawn for a state which this
    // transaction can see is lower.
    let versions = if draws {
        format!(
            ", (SELECT string_agg(nextval('versions')::text, ' ') FROM generate_series(1, {BATCH_MAX}))"
        )
    } else {
        String::new()
    };
    let answer = session.simple(&format!(
        "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE lane IN {lock} MODE; {CLOCK}{versions}"
    ))?;
    let row = last_row(&answer);
    let drawn = row.filter(|_| draws).and_then(|row| row.get(1));
    let mut versions: Vec<u64> = drawn
        .unwrap_or_default()
        .split(' ')
        .filter_map(|number| number.parse().ok())
        .collect();
    versions.sort_unstable();
    Ok(Shared {
        now: Some(moment(row)?),
        versions: versions.into(),
        ..Shared::default()
    })
}

/// Runs a batch up to its commit; answers whether there is anything to commit.
fn transaction(
    session: &mut Session,
    batch: &VecDeque<Request>,
    shared: &mut Shared,
) -> Result<(Vec<Ran>, bool), SessionError> {
    let (mut all, mut changed) = (Vec::with_capacity(batch.len()), false);
    // What is alone in its transaction needs no savepoint: undoing it is undoing all.
    let parts = 1 < batch.len();
    for (index, request) in batch.iter().enumerate() {
        if parts {
            session.ahead(if index == 0 {
                "SAVEPOINT request"
            } else {
                "RELEASE request; SAVEPOINT request"
            });
        }
        let (ran, wrote) = run_one(session, shared, &*request.work, parts)?;
        changed |= wrote;
        all.push(ran);
    }
    session.settle()?;
    shared.gathered.write(session)?;
    Ok((all, changed))
}

fn run_one(
    session: &mut Session,
    shared: &mut Shared,
    work: &Work,
    parts: bool,
) -> Result<(Ran, bool), SessionError> {
    let mut tx = PostgresTx::new(session, shared);
    let verdict = catch_unwind(AssertUnwindSafe(|| work(&mut tx)));
    let (changed, trouble) = (tx.changed, tx.trouble.take());
    let failed = match trouble {
        // The whole transaction is void, whatever the function made of it.
        Some(
            trouble @ (SessionError::Conflict | SessionError::Lost(_) | SessionError::Unknown(_)),
        ) => {
            return Err(trouble);
        }
        Some(SessionError::Failed(error)) => Some(error),
        None => None,
    };
    if matches!(verdict, Ok(Verdict::Keep)) && failed.is_none() {
        shared.gathered.keep();
        return Ok((Ran::Good, changed));
    }
    shared.gathered.undo();
    if changed || failed.is_some() {
        session.simple(if parts {
            "ROLLBACK TO request"
        } else {
            "ROLLBACK; BEGIN"
        })?;
    }
    Ok((
        match (verdict, failed) {
            (Err(_), _) => Ran::Panicked,
            // It went on over a statement that failed: nothing of it could be kept.
            (Ok(Verdict::Keep), Some(error)) => Ran::Failed(error),
            (Ok(_), _) => Ran::Good,
        },
        false,
    ))
}
