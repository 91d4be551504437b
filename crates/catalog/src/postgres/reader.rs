//! The threads that read, each request on one consistent state.
//!
//! They do not know what the requests look for; their transactions cannot write.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use super::{
    error::SessionError,
    session::Session,
    tx::{PostgresTx, Shared},
    url::Place,
};
use crate::{
    error::CatalogError,
    queue::{Answer, Request, SharedQueue},
    transaction::Work,
};

/// How long a request may wait for a server that went away.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// One reading thread's parts.
pub(super) struct Reader {
    pub(super) place: Place,
    pub(super) session: Option<Session>,
    pub(super) queue: SharedQueue,
}

impl Reader {
    /// Serves until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(request) = self.queue.next() {
            if !request.answer.is_closed() {
                self.serve(request);
            }
        }
    }

    fn serve(&mut self, Request { work, answer }: Request) {
        let began = Instant::now();
        loop {
            match self.attempt(&*work) {
                Ok(outcome) => return self.end(answer, outcome),
                Err(trouble) => {
                    self.session = None;
                    let again = matches!(trouble, SessionError::Lost(_) | SessionError::Conflict)
                        && began.elapsed() < PATIENCE
                        && !answer.is_closed();
                    if !again {
                        answer.send(Err(trouble.told())).ok();
                        return;
                    }
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Answers first: what was read is decided before the transaction ends.
    fn end(&mut self, answer: Answer, outcome: Result<(), CatalogError>) {
        answer.send(outcome).ok();
        if let Some(session) = &self.session
            && session.simple("ROLLBACK").is_err()
        {
            self.session = None;
        }
    }

    fn attempt(&mut self, work: &Work) -> Result<Result<(), CatalogError>, SessionError> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::open(&self.place)?),
        };
        session.ahead("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        let mut shared = Shared::default();
        let mut tx = PostgresTx::new(session, &mut shared);
        let ran = catch_unwind(AssertUnwindSafe(|| work(&mut tx)));
        match (ran, tx.trouble.take()) {
            (_, Some(trouble @ (SessionError::Lost(_) | SessionError::Conflict))) => Err(trouble),
            (Err(_), _) => Ok(Err(CatalogError::Panicked)),
            (Ok(_), _) => Ok(Ok(())),
        }
    }
}
