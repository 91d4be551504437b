//! Claims jobs, runs them under their leases, and records how they end.
//!
//! It wakes on a signal and on a timer, takes no hints, and can die at any moment: what it had
//! claimed is claimed anew once the lease is over.
use std::{sync::Arc, time::Duration};

use catalog::{
    CatalogError, CatalogExt, Tx, clusters,
    jobs::{self, Claim, Lease},
    snapshots,
};
use model::{ClusterName, ClusterStatus, Job, JobKind, SnapshotStatus, Told, limits};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    core::Core,
    fault::chain,
    jobs::{
        JobError, Reason, Run,
        deaths::{DEATHS_MAX, Mark},
        give_up, run,
    },
    meter::Meter,
};

/// Jobs run at once by one node.
const JOBS_AT_ONCE: usize = 6;
/// Copies among them: slow ones must not keep clusters and snapshots from being made.
const COPIES_AT_ONCE: usize = 4;
/// How long work that is to stop may take to its next step.
const STOP_PATIENCE: Duration = Duration::from_secs(4);
/// The longest wait between two tries of a job.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Runs jobs until the process is to end, then waits for the ones under way to stop.
pub async fn work(core: Arc<Core>, owner: String) {
    let places = Arc::new(Semaphore::new(JOBS_AT_ONCE));
    let copies = Arc::new(Semaphore::new(COPIES_AT_ONCE));
    let mut running = JoinSet::new();
    while !core.is_stopping() {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
            () = core.stopped() => break,
        };
        while running.try_join_next().is_some() {}
        let copying = copies.clone().try_acquire_owned().ok();
        let except = copying.is_none().then_some(JobKind::CopySnapshot);
        match claim(&core, &owner, except).await {
            Ok(Some(one)) => {
                let copying = copying.filter(|_| one.job.kind == JobKind::CopySnapshot);
                running.spawn(async move {
                    let core = one.core.clone();
                    attempt(one).await;
                    drop((place, copying));
                    core.work.notify_one();
                });
            }
            Ok(None) => {
                drop((place, copying));
                tokio::select! {
                    () = core.work.notified() => {}
                    () = tokio::time::sleep(limits::RUNNER_POLL) => {}
                    () = core.stopped() => {}
                }
            }
            Err(error) => {
                tracing::warn!(cause = %chain(&error), "no job could be claimed");
                tokio::time::sleep(limits::RUNNER_POLL).await;
            }
        }
    }
    while running.join_next().await.is_some() {}
}

pub(crate) async fn claim(
    core: &Arc<Core>,
    owner: &str,
    except: Option<JobKind>,
) -> Result<Option<Run>, CatalogError> {
    let wanted = Claim {
        owner: owner.to_owned(),
        node: core.settings.node.clone(),
        free: !core.is_draining(),
        kinds: Vec::new(),
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
        Some(Run {
            core: core.clone(),
            job,
            lease,
            meter,
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
            tracing::info!(job = %job.id, kind = job.kind.as_str(), subject = job.subject, "job done")
        }
        Err(error) => end(&one, error).await,
    }
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
    let progress = one.meter.progress();
    let recorded: Result<(), CatalogError> = match error {
        JobError::Lost => {
            tracing::info!(job = %job.id, "job canceled, or taken over");
            return;
        }
        JobError::Gone => {
            core.catalog
                .write(move |tx| jobs::finish(tx, &lease, &jobs::End::Canceled))
                .await
        }
        JobError::Stopping => {
            let now = core.now();
            core.catalog
                .write(move |tx| {
                    jobs::checkpoint(
                        tx,
                        &lease,
                        &jobs::Checkpoint {
                            progress: Some(progress),
                            ..Default::default()
                        },
                    )?;
                    jobs::release(tx, &lease, now, None)
                })
                .await
        }
        JobError::Retry(reason) if job.attempts < limits::JOB_ATTEMPTS_MAX => {
            let wait = Duration::from_millis(250)
                .saturating_mul(1 << job.attempts.min(10))
                .min(BACKOFF_MAX);
            let run_after = core.now().plus(wait);
            tracing::warn!(job = %job.id, kind = job.kind.as_str(), reason = reason.log, "job will be tried again");
            core.catalog
                .write(move |tx| {
                    jobs::checkpoint(
                        tx,
                        &lease,
                        &jobs::Checkpoint {
                            progress: Some(progress),
                            ..Default::default()
                        },
                    )?;
                    jobs::release(tx, &lease, run_after, Some(&reason.log))
                })
                .await
        }
        JobError::Retry(reason) | JobError::Fail(reason) => {
            tracing::warn!(job = %job.id, kind = job.kind.as_str(), subject = job.subject, reason = reason.log, "job failed");
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
        Ok(()) => core.mirror.notify_one(),
        Err(CatalogError::LeaseLost { .. }) => {}
        Err(error) => {
            tracing::warn!(job = %one.job.id, cause = %chain(&error), "a job's end was not recorded")
        }
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
