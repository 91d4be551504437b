//! Requests on their way to the threads of a catalog, and those threads' ends.
//!
//! It does not know which database they speak to.
use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    error::{CatalogError, ErrorKind},
    transaction::Work,
};

/// Requests that wait for the writer, or for the readers; more wait in their callers.
const QUEUE_MAX: usize = 1_024;
/// Each thread's stack, bytes; functions over `Tx` are shallow, but answers can be large.
const STACK_BYTES: usize = 1 << 20;

/// How long the threads have to end, all together: a process that is to end has ten seconds in all.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
const CLOSE_POLL: Duration = Duration::from_millis(1);

/// What a request's thread sends back.
pub(crate) type Answer = oneshot::Sender<Result<(), CatalogError>>;

/// A transaction on its way to a thread.
pub(crate) struct Request {
    pub(crate) work: Box<Work>,
    pub(crate) answer: Answer,
}

/// The writer's end of a queue.
pub(crate) type RequestQueue = mpsc::Receiver<Request>;

/// The end of a queue that several threads take requests from.
#[derive(Clone)]
pub(crate) struct SharedQueue(Arc<Mutex<RequestQueue>>);

impl SharedQueue {
    pub(crate) fn new(queue: RequestQueue) -> Self {
        Self(Arc::new(Mutex::new(queue)))
    }

    /// The next request, or none once the queue is closed and empty. One idle thread waits in the
    /// queue, the others for the lock: the effect is the same. Blocks.
    pub(crate) fn next(&self) -> Option<Request> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv()
    }
}

/// The senders' ends of a catalog's queues, and the threads at the other end.
pub(crate) struct Threads {
    // Closed first: the threads end when their queues are closed.
    senders: Option<Senders>,
    threads: Vec<JoinHandle<()>>,
}

struct Senders {
    write: mpsc::Sender<Request>,
    read: mpsc::Sender<Request>,
}

impl Threads {
    /// The ends that the writer and the readers take requests from.
    pub(crate) fn new() -> (Self, RequestQueue, SharedQueue) {
        let (write, write_queue) = mpsc::channel(QUEUE_MAX);
        let (read, read_queue) = mpsc::channel(QUEUE_MAX);
        let threads = Self {
            senders: Some(Senders { write, read }),
            threads: Vec::new(),
        };
        (threads, write_queue, SharedQueue::new(read_queue))
    }

    /// Starts one more thread.
    ///
    /// # Errors
    /// `Failed`, of the kind `Repair`, when the system has no thread to give.
    pub(crate) fn start(
        &mut self,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), CatalogError> {
        self.threads.push(spawn(name, run)?);
        Ok(())
    }

    /// Runs a transaction on the thread that writes.
    pub(crate) async fn write(&self, work: Box<Work>) -> Result<(), CatalogError> {
        ask(&self.senders()?.write, work).await
    }

    /// Runs a transaction on one of the threads that read.
    pub(crate) async fn read(&self, work: Box<Work>) -> Result<(), CatalogError> {
        ask(&self.senders()?.read, work).await
    }

    fn senders(&self) -> Result<&Senders, CatalogError> {
        self.senders.as_ref().ok_or(CatalogError::Closed)
    }
}

impl Drop for Threads {
    /// Lets the threads finish what was queued and close their connections. Blocks for at most
    /// the last batch, and not for a database that is down: nobody hears of that batch any more.
    fn drop(&mut self) {
        self.senders = None;
        let deadline = Instant::now() + CLOSE_WAIT;
        for thread in self.threads.drain(..) {
            // A catalog whose last owner is a request's function is dropped on its own thread.
            if thread.thread().id() == thread::current().id() {
                continue;
            }
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(CLOSE_POLL);
            }
            if !thread.is_finished() {
                tracing::warn!("a catalog thread waits for its database still, and is left behind");
            } else if thread.join().is_err() {
                tracing::error!("a catalog thread had panicked");
            }
        }
    }
}

async fn ask(queue: &mpsc::Sender<Request>, work: Box<Work>) -> Result<(), CatalogError> {
    let (answer, answered) = oneshot::channel();
    queue
        .send(Request { work, answer })
        .await
        .map_err(|_| CatalogError::Closed)?;
    answered.await.map_err(|_| CatalogError::Closed)?
}

/// Starts a thread.
///
/// # Errors
/// `Failed`, of the kind `Repair`, when the system has no thread to give.
pub(crate) fn spawn(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, CatalogError> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map_err(|error| CatalogError::Failed {
            doing: "starting its threads",
            kind: ErrorKind::Repair,
            source: Arc::new(error),
        })
}
