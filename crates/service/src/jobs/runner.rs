//! Claims jobs, runs them under their leases, and records how they end.
//!
//! It wakes on a signal and on a timer, takes no hints, and can die at any moment: what it had
//! claimed is claimed anew once the lease is over.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt,
    jobs::{self, Checkpoint, Claim, Lease},
};
use model::{Job, JobState, Told, limits};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    background::{Next, Task, TaskError},
    context::ServiceContext,
    fault::chain,
    jobs::{
        JobError, Reason, Run,
        deaths::{DEATHS_MAX, Mark},
        progress::JobProgress,
        registry::{self, give_up, name_of, run, show},
    },
    metrics::Kind,
    trace,
};

/// How long work that is to stop may take to its next step.
const STOP_PATIENCE: Duration = Duration::from_secs(4);
/// The shortest wait between two tries of a job.
const BACKOFF_MIN: Duration = Duration::from_millis(250);

/// Claims jobs as long as there are any and there is room; at the end it waits for the ones under
/// way to stop.
#[derive(Debug)]
pub(crate) struct Runner {
    owner: String,
    running: JoinSet<()>,
}

impl Runner {
    /// One that holds leases under that name.
    pub(crate) fn new(owner: String) -> Self {
        Self {
            owner,
            running: JoinSet::new(),
        }
    }
}

#[async_trait]
impl Task for Runner {
    fn name(&self) -> String {
        "job_runner".to_owned()
    }

    fn period(&self, _context: &ServiceContext) -> Duration {
        limits::RUNNER_POLL
    }

    async fn woken(&self, context: &ServiceContext) {
        tokio::select! {
            () = context.work.notified() => {}
            () = context.slots.more_room() => {}
        }
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        while self.running.try_join_next().is_some() {}
        let claimed = claim(context, &self.owner).await;
        match claimed.map_err(|error| TaskError::doing("no job could be claimed", &error))? {
            Some(one) => {
                let job = &one.job;
                let span = tracing::info_span!("job", id = %job.id, kind = job.kind.as_str(), subject = job.subject.name());
                if let Some(parent) = &job.traceparent {
                    trace::join(&span, parent);
                }
                self.running.spawn(attempt(one).instrument(span));
                Ok(Next::Now)
            }
            None if self.running.is_empty() => {
                // One that is put off comes back with time.
                let is_any = context.catalog.read(jobs::is_any_open).await?;
                Ok(if is_any { Next::Period } else { Next::Changed })
            }
            None => Ok(Next::Period),
        }
    }

    async fn end(mut self: Box<Self>) {
        while self.running.join_next().await.is_some() {}
    }
}

/// Takes a job that there is room for, if there is one.
pub(crate) async fn claim(
    context: &Arc<ServiceContext>,
    owner: &str,
) -> Result<Option<Run>, CatalogError> {
    let Some(except) = context.slots.room() else {
        return Ok(None);
    };
    let wanted = Claim {
        owner: owner.to_owned(),
        node: context.settings.node.clone(),
        free: !context.is_draining(),
        kinds: registry::kinds(),
        except,
        lease: context.settings.lease,
    };
    let claimed = context
        .catalog
        .write(move |tx| jobs::claim(tx, &wanted))
        .await?;
    Ok(claimed.and_then(|job| {
        let lease = Lease::of(&job)?;
        let progress = Arc::new(JobProgress::after(&job.progress));
        let slot = Arc::new(context.slots.enter(&job));
        Some(Run {
            context: context.clone(),
            job,
            lease,
            progress,
            slot,
        })
    }))
}

async fn attempt(one: Run) {
    let job = &one.job;
    tracing::info!(job = %job.id, kind = job.kind.as_str(), subject = job.subject.name(), attempt = job.attempts, "job begins");
    let mark = one.context.deaths.mark(&job.id);
    let result = if let Some(error) = set_aside(&one) {
        Err(error)
    } else {
        let work = run(&one);
        tokio::pin!(work);
        let beat = heartbeat(&one, &mark);
        tokio::pin!(beat);
        tokio::select! {
            result = &mut work => result,
            lost = &mut beat => {
                // The work hears it at its next step; what it still writes is harmless. What waits
                // for a database is left: the next try clears it away.
                one.progress.stop();
                let _ = tokio::time::timeout(STOP_PATIENCE, work).await;
                Err(lost)
            }
        }
    };
    match result {
        Ok(()) => {
            tracing::info!(job = %job.id, kind = job.kind.as_str(), subject = job.subject.name(), "job done");
            count(&one, JobState::Done);
        }
        Err(error) => end(&one, error).await,
    }
}

/// Counts a job's end.
fn count(one: &Run, state: JobState) {
    let after = one.context.now().since(one.job.created_at);
    let metrics = &one.context.metrics;
    metrics.job_ended(name_of(&one.job), state.as_str(), after);
}

/// A job under which the process died again and again is not tried once more.
fn set_aside(one: &Run) -> Option<JobError> {
    let deaths = one.context.deaths.of(&one.job.id);
    (DEATHS_MAX <= deaths).then(|| {
        let told = Told::new(
            "the server ended several times while this was under way, so it is set aside",
        );
        let log =
            format!("the process ended {deaths} times while this job ran, so it is set aside");
        JobError::Fail(Reason::new(told, log))
    })
}

/// Renews the lease and records progress; answers why the work has to stop.
async fn heartbeat(one: &Run, mark: &Mark) -> JobError {
    let mut recorded_at = one.context.now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(limits::HEARTBEAT) => {}
            () = one.context.stopped() => return JobError::Stopping,
        }
        mark.moved(one.progress.progress().bytes_done);
        match renew(one).await {
            Ok(true) => recorded_at = one.context.now(),
            Ok(false) => return JobError::Lost,
            // Another may hold the lease by now.
            Err(_) if one.context.settings.lease < one.context.now().since(recorded_at) => {
                return JobError::Lost;
            }
            Err(error) => {
                tracing::warn!(job = %one.job.id, cause = %chain(&error), "the lease was not renewed")
            }
        }
    }
}

async fn renew(one: &Run) -> Result<bool, CatalogError> {
    let (lease, extent, progress) = (
        one.lease.clone(),
        one.context.settings.lease,
        one.progress.progress(),
    );
    let job = one.job.clone();
    one.context
        .catalog
        .write(move |tx| {
            if !jobs::renew(tx, &lease, extent, &progress)? {
                return Ok(false);
            }
            show(tx, &job, progress.percent())?;
            Ok(true)
        })
        .await
}

/// Records how a try without a commit ended.
pub(crate) async fn end(one: &Run, error: JobError) {
    let context = &one.context;
    let (lease, job) = (one.lease.clone(), one.job.clone());
    let mut ended = None;
    let recorded: Result<(), CatalogError> = match error {
        JobError::Lost => {
            tracing::info!(job = %job.id, "job canceled, or taken over");
            return;
        }
        JobError::Gone => {
            ended = Some(JobState::Canceled);
            context
                .catalog
                .write(move |tx| jobs::finish(tx, &lease, &jobs::End::Canceled))
                .await
        }
        // An end in order is no fault of the job's.
        JobError::Stopping => put_off(one, Duration::ZERO, None).await,
        JobError::Wait(reason) if put_offs(&job) < limits::JOB_PUT_OFFS_MAX => {
            let wait = backoff(put_offs(&job)).min(limits::JOB_PUT_OFF_MAX);
            tracing::debug!(job = %job.id, kind = job.kind.as_str(), reason = reason.log, "job waits");
            put_off(one, wait, Some(reason.log)).await
        }
        JobError::Retry(reason) if job.attempts < limits::JOB_ATTEMPTS_MAX => {
            let wait = backoff(job.attempts.into());
            tracing::warn!(job = %job.id, kind = job.kind.as_str(), reason = reason.log, "job will be tried again");
            trace::failed(&reason.log);
            let kind = name_of(&job);
            context
                .metrics
                .job_retries
                .get_or_create(&Kind { kind })
                .inc();
            let so_far = so_far(one);
            context
                .catalog
                .write(move |tx| {
                    jobs::checkpoint(tx, &lease, &so_far)?;
                    jobs::release(tx, &lease, wait, Some(&reason.log))
                })
                .await
        }
        JobError::Wait(reason) | JobError::Retry(reason) | JobError::Fail(reason) => {
            tracing::warn!(job = %job.id, kind = job.kind.as_str(), subject = job.subject.name(), reason = reason.log, "job failed");
            trace::failed(&reason.log);
            ended = Some(JobState::Failed);
            context
                .catalog
                .write(move |tx| {
                    jobs::guard(tx, &lease)?;
                    give_up(tx, &job, &reason.told)?;
                    jobs::finish(tx, &lease, &jobs::End::Failed(reason.log.clone()))
                })
                .await
        }
    };
    match recorded {
        Ok(()) => {
            if let Some(state) = ended {
                count(one, state);
            }
        }
        Err(CatalogError::LeaseLost { .. }) => {}
        Err(error) => {
            tracing::warn!(job = %one.job.id, cause = %chain(&error), "a job's end was not recorded")
        }
    }
}

/// How often a job was claimed without an attempt.
fn put_offs(job: &Job) -> u64 {
    job.fence.saturating_sub(job.attempts.into())
}

fn backoff(tries: u64) -> Duration {
    let tries = u32::try_from(tries).unwrap_or(u32::MAX).min(10);
    BACKOFF_MIN
        .saturating_mul(1 << tries)
        .min(limits::JOB_SLEEP_MAX)
}

async fn put_off(one: &Run, wait: Duration, reason: Option<String>) -> Result<(), CatalogError> {
    let (lease, so_far) = (one.lease.clone(), so_far(one));
    one.context
        .catalog
        .write(move |tx| {
            jobs::checkpoint(tx, &lease, &so_far)?;
            jobs::put_off(tx, &lease, wait, reason.as_deref())
        })
        .await
}

fn so_far(one: &Run) -> Checkpoint {
    Checkpoint {
        progress: Some(one.progress.progress()),
        ..Checkpoint::default()
    }
}
