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

use model::Timestamp;
use tokio::sync::mpsc;
use tokio_postgres::SimpleQueryMessage;

use super::{
    Request,
    commit::Marks,
    place::Place,
    session::Session,
    trouble::{Trouble, in_words},
    tx::PostgresTx,
};
use crate::{
    error::CatalogError,
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
/// The present moment by the server's clock.
pub(super) const CLOCK: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

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
    pub(super) marks: Marks,
    pub(super) queue: mpsc::Receiver<Request>,
    pub(super) commits: Arc<AtomicU64>,
    /// Since when the server is away.
    pub(super) away_since: Option<Instant>,
}

impl Writer {
    /// Serves until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut batch = VecDeque::with_capacity(BATCH_MAX);
        while let Some(first) = self.queue.blocking_recv() {
            batch.push_back(first);
            while batch.len() < BATCH_MAX
                && let Ok(next) = self.queue.try_recv()
            {
                batch.push_back(next);
            }
            // Where nobody waits for the answer any more, the caller gave up before it began.
            batch.retain(|request| !request.answer.is_closed());
            self.serve(&mut batch);
        }
        self.marks.forget(self.session.as_ref());
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

    fn decide(&mut self, batch: &VecDeque<Request>) -> Result<Vec<Ran>, Trouble> {
        let (mut conflicts, mut lost) = (0, 0);
        loop {
            match self.attempt(batch, 0 < conflicts) {
                Ok(ran) => {
                    self.away_since = None;
                    return Ok(ran);
                }
                Err(Trouble::Conflict) if conflicts < TRIES_MAX => conflicts += 1,
                Err(Trouble::Lost(source)) => {
                    self.session = None;
                    let away = *self.away_since.get_or_insert_with(Instant::now);
                    // One more try beyond its patience for a batch that comes later.
                    if PATIENCE < away.elapsed() && 0 < lost {
                        return Err(Trouble::Lost(source));
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
    fn attempt(&mut self, batch: &VecDeque<Request>, alone: bool) -> Result<Vec<Ran>, Trouble> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = Session::open(&self.place)?;
                self.marks.enter(&session)?;
                session
            }
        };
        let worked = transaction(&mut session, batch, alone);
        match worked {
            Ok((ran, true)) => {
                // The session is given up when anything is unclear.
                if let Err(cause) = self.marks.commit(&session) {
                    if let Trouble::Conflict | Trouble::Failed(_) = &cause {
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
            Err(Trouble::Lost(source)) => Err(Trouble::Lost(source)),
            Err(trouble) => {
                session.simple("ROLLBACK")?;
                self.session = Some(session);
                Err(trouble)
            }
        }
    }

    /// Learns what became of a commit whose answer was lost: good when it happened, `Lost` when
    /// it did not and never will, `Unknown` when nobody tells in time.
    fn find_out(&mut self, cause: Trouble) -> Result<(), Trouble> {
        let began = Instant::now();
        loop {
            let asked = Session::open(&self.place).and_then(|session| {
                let happened = self.marks.happened(&session)?;
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

fn lost(cause: Trouble) -> Trouble {
    match cause {
        Trouble::Lost(source) | Trouble::Unknown(source) => Trouble::Lost(source),
        other => Trouble::Lost(Arc::new(other.told())),
    }
}

fn unknown(cause: Trouble) -> Trouble {
    match lost(cause) {
        Trouble::Lost(source) => Trouble::Unknown(source),
        other => other,
    }
}

/// The moment in the last row of an answer.
pub(super) fn moment(answer: &[SimpleQueryMessage]) -> Result<Timestamp, Trouble> {
    answer
        .iter()
        .rev()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok().map(Timestamp),
            _ => None,
        })
        .ok_or_else(|| Trouble::Lost(in_words("the server did not tell the time")))
}

/// Runs a batch up to its commit; answers whether there is anything to commit.
fn transaction(
    session: &mut Session,
    batch: &VecDeque<Request>,
    alone: bool,
) -> Result<(Vec<Ran>, bool), Trouble> {
    // The lock comes before the first look at any row: LOCK takes no snapshot.
    let lock = if alone { "EXCLUSIVE" } else { "ROW SHARE" };
    let begin =
        format!("BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE lane IN {lock} MODE; {CLOCK}");
    let now = moment(&session.simple(&begin)?)?;
    let (mut all, mut changed) = (Vec::with_capacity(batch.len()), false);
    // What is alone in its transaction needs no savepoint: undoing it is undoing all.
    let parts = 1 < batch.len();
    for (index, request) in batch.iter().enumerate() {
        if parts {
            session.simple(if index == 0 {
                "SAVEPOINT request"
            } else {
                "RELEASE request; SAVEPOINT request"
            })?;
        }
        let (ran, wrote) = run_one(session, now, &*request.work, parts)?;
        changed |= wrote;
        all.push(ran);
    }
    Ok((all, changed))
}

fn run_one(
    session: &mut Session,
    now: Timestamp,
    work: &Work,
    parts: bool,
) -> Result<(Ran, bool), Trouble> {
    let mut tx = PostgresTx::new(session, now);
    let verdict = catch_unwind(AssertUnwindSafe(|| work(&mut tx)));
    let (changed, trouble) = (tx.changed, tx.trouble);
    let failed = match trouble {
        // The whole transaction is void, whatever the function made of it.
        Some(trouble @ (Trouble::Conflict | Trouble::Lost(_) | Trouble::Unknown(_))) => {
            return Err(trouble);
        }
        Some(Trouble::Failed(error)) => Some(error),
        None => None,
    };
    if matches!(verdict, Ok(Verdict::Keep)) && failed.is_none() {
        return Ok((Ran::Good, changed));
    }
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
