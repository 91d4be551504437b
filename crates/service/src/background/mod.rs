//! Work that goes on beside requests, again and again. Adding a task is its file and its line in
//! `tasks`.
//!
//! It does not know what a task does. Each has a loop of its own, so one that fails, or takes long,
//! holds up no other; how each fares is told by [`status`], to metrics and `snapferry node`.
pub(crate) mod report;
pub mod status;

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CommitMark};
use futures_util::FutureExt;
use tokio::task::JoinHandle;

use crate::{context::ServiceContext, fault::chain, nodes::leader};

/// Periods are made longer or shorter by up to this part of them, so that the nodes that share a
/// catalog, and a node's tasks, do not all come at once.
const JITTER: u32 = 10;
/// A task that waits for a change runs after this long without one.
const UNCHANGED_MAX: Duration = Duration::from_secs(60);

/// Which nodes run a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunsOn {
    /// Each.
    EveryNode,
    /// The first of those that live; with a catalog of its own, a node is that.
    Leader,
}

/// When a task is to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// After its period, or when it is woken.
    Period,
    /// At once: there is more to do.
    Now,
    /// As [`Next::Period`], and not before somebody has committed to the catalog, though after a
    /// minute at the latest: nothing that is there is waited for. For work that only a commit can
    /// bring, neither time nor a server.
    Changed,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// It is tried again.
    #[error("{0}")]
    Failed(String),
    /// This process must not go on.
    #[error("{0}")]
    Fatal(String),
}

impl TaskError {
    /// With what was done, and why that failed.
    pub(crate) fn doing(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(format!("{what}: {}", chain(error)))
    }
}

impl From<CatalogError> for TaskError {
    fn from(error: CatalogError) -> Self {
        Self::Failed(chain(&error))
    }
}

/// One task: what it does, how often, and where.
#[async_trait]
pub(crate) trait Task: Send + Sync + 'static {
    /// Its name in logs, metrics and listings: `snake_case`, the same in each process.
    fn name(&self) -> String;

    /// How long it rests between two runs.
    fn period(&self, context: &ServiceContext) -> Duration;

    /// Which nodes run it.
    const RUNS_ON: RunsOn = RunsOn::EveryNode;

    /// Whether it runs as soon as the process does, and not after a period.
    const AT_START: bool = true;

    /// Resolves when there is something to do before the period is over.
    async fn woken(&self, _context: &ServiceContext) {
        std::future::pending().await
    }

    /// How long it rests after so many failures in a row.
    fn rest(&self, context: &ServiceContext, _failures: u32) -> Duration {
        self.period(context)
    }

    /// Runs once. What takes long looks at [`ServiceContext::is_stopping`] now and then.
    ///
    /// # Errors
    /// Why it did not do all it was to.
    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError>;

    /// Another node runs it: what this one remembers of it may be old.
    fn stand_by(&mut self) {}

    /// Ends what it began.
    async fn end(self: Box<Self>) {}
}

/// Runs a task until the process is to end.
pub(crate) fn spawn<T: Task>(context: &Arc<ServiceContext>, task: T) -> JoinHandle<()> {
    tokio::spawn(keep_running(context.clone(), task))
}

async fn keep_running<T: Task>(context: Arc<ServiceContext>, mut task: T) {
    let name = task.name();
    let mut failures = 0;
    // Where the catalog stood when the task found nothing in it.
    let mut unchanged = None;
    let mut wait = match T::AT_START {
        true => Duration::ZERO,
        false => jittered(&context, task.period(&context)),
    };
    while !context.is_stopping() {
        if !wait.is_zero() {
            context.tasks.due(&name, context.now().plus(wait));
            tokio::select! {
                () = context.stopped() => break,
                () = task.woken(&context), if failures == 0 => {}
                () = rest(&context, wait, unchanged.take()) => {}
            }
        }
        let mark = context.catalog.mark();
        wait = match attempt(&context, &mut task, &name).await {
            Ok(Some(Next::Now)) => {
                failures = 0;
                Duration::ZERO
            }
            Ok(Some(Next::Period)) => {
                failures = 0;
                jittered(&context, task.period(&context))
            }
            Ok(Some(Next::Changed)) => {
                failures = 0;
                unchanged = mark;
                jittered(&context, task.period(&context))
            }
            Ok(None) => jittered(&context, task.period(&context)),
            Err(TaskError::Failed(_)) => {
                failures += 1;
                jittered(&context, task.rest(&context, failures))
            }
            Err(TaskError::Fatal(_)) => {
                context.begin_stop();
                break;
            }
        };
    }
    Box::new(task).end().await;
}

/// Sleeps for `wait`, and on while the catalog stands where it stood, for [`UNCHANGED_MAX`] in all.
async fn rest(context: &ServiceContext, wait: Duration, unchanged: Option<CommitMark>) {
    tokio::time::sleep(wait).await;
    let Some(mark) = unchanged else {
        return;
    };
    let mut waited = wait;
    while waited < UNCHANGED_MAX && context.catalog.is_at(&mark) {
        tokio::time::sleep(wait).await;
        waited += wait;
    }
}

/// Runs a task once, if this node does, and notes how that ended; none when it does not.
async fn attempt<T: Task>(
    context: &Arc<ServiceContext>,
    task: &mut T,
    name: &str,
) -> Result<Option<Next>, TaskError> {
    let outcome = match is_here::<T>(context).await {
        Ok(true) => {
            let run = AssertUnwindSafe(task.run(context)).catch_unwind();
            match run.await {
                Ok(outcome) => outcome.map(Some),
                // It has a next turn, as after any failure.
                Err(panic) => Err(TaskError::Failed(format!("it panicked: {}", said(&*panic)))),
            }
        }
        Ok(false) => {
            task.stand_by();
            context.tasks.stands_by(name);
            return Ok(None);
        }
        Err(error) => Err(TaskError::doing("the nodes could not be listed", &error)),
    };
    match &outcome {
        Ok(_) => {
            if context.tasks.succeeded(name, context.now()) {
                tracing::info!(task = name, "the task works again");
                context.tasks.changed.notify_one();
            }
        }
        Err(TaskError::Failed(cause)) => {
            tracing::warn!(task = name, cause, "a background task failed");
            if context.tasks.failed(name, context.now(), cause) {
                context.tasks.changed.notify_one();
            }
        }
        Err(TaskError::Fatal(cause)) => {
            tracing::error!(task = name, cause, "this server ends");
            context.tasks.failed(name, context.now(), cause);
        }
    }
    context
        .metrics
        .task_ran(name, outcome.is_ok(), context.now());
    outcome
}

/// What a panic says.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a word")
}

async fn is_here<T: Task>(context: &ServiceContext) -> Result<bool, CatalogError> {
    match T::RUNS_ON {
        RunsOn::EveryNode => Ok(true),
        RunsOn::Leader => leader::is_leader(context).await,
    }
}

/// A wait, somewhat longer or shorter.
fn jittered(context: &ServiceContext, wait: Duration) -> Duration {
    let [low, high, ..] = context.entropy.draw();
    let draw = u32::from(u16::from_le_bytes([low, high]));
    let span = wait / JITTER;
    // From a tenth less to a tenth more.
    wait - span + span * 2 * draw / u32::from(u16::MAX)
}
