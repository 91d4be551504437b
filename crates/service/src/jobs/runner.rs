//! Claims jobs, runs them under their leases, and records how they end.
//!
//! It wakes on a signal and on a timer, takes no hints, and can die at any moment: what it had
//! claimed is claimed anew once the lease is over.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt, Tx, clusters,
    jobs::{self, Checkpoint, Claim, Lease},
    snapshots,
};
use model::{ClusterName, ClusterStatus, Job, JobKind, JobState, SnapshotStatus, Told, limits};
use tokio::task::JoinSet;

use crate::{
    background::{Next, Task, TaskError},
    core::Core,
    fault::chain,
    jobs::{
        JobError, Reason, Run,
        deaths::{DEATHS_MAX, Mark},
        give_up,
        progress::Meter,
        run,
    },
    metrics::Kind,
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

    fn period(&self, _core: &Core) -> Duration {
        limits::RUNNER_POLL
    }

    async fn woken(&self, core: &Core) {
        tokio::select! {
            () = core.work.notified() => {}
            () = core.places.more_room() => {}
        }
    }

    async fn run(&mut self, core: &Arc<Core>) -> Result<Next, TaskError> {
        while self.running.try_join_next().is_some() {}
        let claimed = claim(core, &self.owner).await;
        match claimed.map_err(|error| TaskError::doing("no job could be claimed", &error))? {
            Some(one) => {
                self.running.spawn(attempt(one));
                Ok(Next::Now)
            }
            None => Ok(Next::Period),
        }
    }

    async fn end(mut self: Box<Self>) {
        while self.running.join_next().await.is_some() {}
    }
}

/// Takes a job that there is room for, if there is one.
pub(crate) async fn claim(core: &Arc<Core>, owner: &str) -> Result<Option<Run>, CatalogError> {
    let Some(except) = core.places.room() else {
        return Ok(None);
    };
    let wanted = Claim {
        owner: owner.to_owned(),
        node: core.settings.node.clone(),
        free: !core.is_draining(),
        except,
        lease: core.settings.lease,
    };
    let claimed = core
        .catalog
        .write(move |tx| jobs::claim(tx, &wanted))
        .await?;
    Ok(claimed.and_then(|job| {
        let lease = Lease::of(&job)?;
        let meter = Arc::new(Meter::after(&job.progress));
        let place = Arc::new(core.places.enter(&job));
        Some(Run {
            core: core.clone(),
            job,
            lease,
            meter,
            place,
        })
    }))
}

async fn attempt(one: Run) {
    let job = &one.job;
    tracing::info!(job = %job.id, kind = job.kind.as_str(), subject = job.subject, attempt = job.attempts, "job begins");
    let mark = one.core.deaths.mark(&job.id);
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
                one.meter.stop();
                let _ = tokio::time::timeout(STOP_PATIENCE, work).await;
                Err(lost)
            }
        }
    };
    match result {
        Ok(()) => {
            tracing::info!(job = %job.id, kind = job.kind.as_str(), subject = job.subject, "job done");
            count(&one, JobState::Done);
        }
        Err(error) => end(&one, error).await,
    }
}

/// Counts a job's end.
fn count(one: &Run, state: JobState) {
    let after = one.core.now().since(one.job.created_at);
    let metrics = &one.core.metrics;
    metrics.job_ended(one.job.kind.as_str(), state.as_str(), after);
}

/// A job under which the process died again and again is not tried once more.
fn set_aside(one: &Run) -> Option<JobError> {
    let deaths = one.core.deaths.of(&one.job.id);
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
    let mut recorded_at = one.core.now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(limits::HEARTBEAT) => {}
            () = one.core.stopped() => return JobError::Stopping,
        }
        mark.moved(one.meter.progress().bytes_done);
        match renew(one).await {
            Ok(true) => recorded_at = one.core.now(),
            Ok(false) => return JobError::Lost,
            // Another may hold the lease by now.
            Err(_) if one.core.settings.lease < one.core.now().since(recorded_at) => {
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
        one.core.settings.lease,
        one.meter.progress(),
    );
    let job = one.job.clone();
    one.core
        .catalog
        .write(move |tx| {
            if !jobs::renew(tx, &lease, extent, &progress)? {
                return Ok(false);
            }
            match job.kind {
                JobKind::CreateSnapshot | JobKind::CopySnapshot => {
                    show_on_snapshot(tx, &job, progress.percent())?;
                }
                JobKind::RestoreCluster => show_on_cluster(tx, &job, progress.percent())?,
                JobKind::CreateCluster | JobKind::DeleteCluster | JobKind::VerifyVault => {}
            }
            Ok(true)
        })
        .await
}

fn show_on_snapshot(tx: &mut dyn Tx, job: &Job, percent: u8) -> Result<(), CatalogError> {
    if let Ok(name) = model::SnapshotName::parse_existing(&job.subject)
        && let Some(mut stored) = snapshots::get(tx, &job.region, &job.account, &name)?
        && matches!(
            stored.value.status,
            SnapshotStatus::Creating | SnapshotStatus::Copying
        )
        && stored.value.percent_progress < percent
    {
        stored.value.percent_progress = percent;
        snapshots::update(tx, stored)?;
    }
    Ok(())
}

fn show_on_cluster(tx: &mut dyn Tx, job: &Job, percent: u8) -> Result<(), CatalogError> {
    if let Ok(name) = ClusterName::parse(&job.subject)
        && let Some(mut stored) = clusters::get(tx, &job.region, &job.account, &name)?
        && stored.value.status == ClusterStatus::Creating
        && stored
            .value
            .percent_progress
            .is_some_and(|shown| shown < percent)
    {
        stored.value.percent_progress = Some(percent);
        clusters::update(tx, stored)?;
    }
    Ok(())
}

/// Records how a try without a commit ended.
pub(crate) async fn end(one: &Run, error: JobError) {
    let core = &one.core;
    let (lease, job) = (one.lease.clone(), one.job.clone());
    let mut ended = None;
    let recorded: Result<(), CatalogError> = match error {
        JobError::Lost => {
            tracing::info!(job = %job.id, "job canceled, or taken over");
            return;
        }
        JobError::Gone => {
            ended = Some(JobState::Canceled);
            core.catalog
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
            let kind = job.kind.as_str();
            core.metrics.job_retries.get_or_create(&Kind { kind }).inc();
            let so_far = so_far(one);
            core.catalog
                .write(move |tx| {
                    jobs::checkpoint(tx, &lease, &so_far)?;
                    jobs::release(tx, &lease, wait, Some(&reason.log))
                })
                .await
        }
        JobError::Wait(reason) | JobError::Retry(reason) | JobError::Fail(reason) => {
            tracing::warn!(job = %job.id, kind = job.kind.as_str(), subject = job.subject, reason = reason.log, "job failed");
            ended = Some(JobState::Failed);
            core.catalog
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
    one.core
        .catalog
        .write(move |tx| {
            jobs::checkpoint(tx, &lease, &so_far)?;
            jobs::put_off(tx, &lease, wait, reason.as_deref())
        })
        .await
}

fn so_far(one: &Run) -> Checkpoint {
    Checkpoint {
        progress: Some(one.meter.progress()),
        ..Checkpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{SqliteCatalog, conformance::samples};
    use model::SystemClock;

    use super::*;

    #[tokio::test]
    async fn a_restore_shows_how_far_it_is_until_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = SqliteCatalog::open(&folder.path().join("catalog"), Arc::new(SystemClock));
        let catalog = catalog.expect("a catalog");
        let done = catalog.write(|tx| {
            let job = samples::job(JobKind::RestoreCluster, "c");
            show_on_cluster(tx, &job, 5)?;
            let stored = clusters::insert(
                tx,
                model::Cluster {
                    status: ClusterStatus::Creating,
                    percent_progress: Some(0),
                    ..samples::cluster("c")
                },
            )?;
            let shown = |tx: &mut dyn Tx, percent| {
                show_on_cluster(tx, &job, percent)?;
                let stored = clusters::get_by_resource_id(tx, &stored.value.resource_id)?;
                Ok::<_, CatalogError>(stored.expect("it is kept"))
            };
            let mut last = 0;
            for (percent, expected) in [(7, 7), (3, 7), (99, 99)] {
                let now = shown(tx, percent)?;
                assert_eq!(now.value.percent_progress, Some(expected));
                assert!(
                    last == now.version || expected == percent,
                    "written for nothing"
                );
                last = now.version;
            }
            let mut stored = shown(tx, 99)?;
            stored.value.status = ClusterStatus::Available;
            stored.value.percent_progress = None;
            let version = clusters::update(tx, stored.clone())?.version;
            show_on_cluster(tx, &job, 99)?;
            let after = clusters::get_by_resource_id(tx, &stored.value.resource_id)?;
            assert_eq!(after.map(|one| one.version), Some(version), "it has ended");
            Ok::<_, CatalogError>(())
        });
        done.await.expect("it is good");
    }
}
