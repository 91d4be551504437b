//! Deletes recovery points whose time is over, and forgets old jobs of theirs, once the clock is
//! believed.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, backup_jobs, keyed, snapshots};
use model::{BackupJobState, Region, SnapshotKind, SnapshotStatus, Timestamp};

use super::{BATCH, clock::Clock};
use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
    recovery_points,
};

/// How long jobs are remembered (API_ListBackupJobs).
const JOBS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The task.
#[derive(Debug, Default)]
pub(crate) struct RecoveryPointExpiry {
    clock: Clock,
}

#[async_trait]
impl Task for RecoveryPointExpiry {
    const RUNS_ON: RunsOn = RunsOn::Leader;
    const AT_START: bool = false;

    fn name(&self) -> String {
        "recovery_point_expiry".to_owned()
    }

    fn period(&self, context: &ServiceContext) -> Duration {
        context.settings.upkeep_period()
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        let failed = |error| TaskError::doing("old recovery points were not deleted", &error);
        if !self.clock.is_believed(context).await.map_err(failed)? {
            return Ok(Next::Period);
        }
        for region in context.vaults.regions() {
            expire(context, &region).await.map_err(failed)?;
        }
        Ok(Next::Period)
    }
}

async fn expire(context: &ServiceContext, region: &Region) -> Result<(), CatalogError> {
    let now = context.now();
    let mut after = None;
    while !context.is_stopping() {
        let (here, from) = (region.clone(), after.clone());
        let (gone, last) = context
            .catalog
            .write(move |tx| {
                let rows =
                    snapshots::of_kind(tx, &here, SnapshotKind::Backup, from.as_ref(), BATCH)?;
                let last = rows
                    .last()
                    .filter(|_| rows.len() == BATCH)
                    .map(|row| (row.value.account.clone(), row.value.name.clone()));
                let mut gone = Vec::new();
                for snapshot in rows.into_iter().map(|row| row.value) {
                    if is_over(&snapshot, now) {
                        recovery_points::forget(tx, &snapshot)?;
                        gone.push(snapshot.arn());
                    }
                }
                Ok::<_, CatalogError>((gone, last))
            })
            .await?;
        for arn in gone {
            tracing::info!(recovery_point = %arn, "deleted at the end of its lifecycle");
        }
        after = last;
        if after.is_none() {
            break;
        }
    }
    forget_jobs(context, region, now.minus(JOBS_KEPT)).await
}

/// Forgets the jobs that were asked for before a moment, whatever became of them.
async fn forget_jobs(
    context: &ServiceContext,
    region: &Region,
    before: Timestamp,
) -> Result<(), CatalogError> {
    for state in BackupJobState::ALL {
        let mut is_full = true;
        while is_full && !context.is_stopping() {
            let here = region.clone();
            let gone = context.catalog.write(move |tx| {
                let mut gone = 0;
                for job in backup_jobs::in_state(tx, &here, state, None, BATCH)? {
                    if job.value.created_at < before {
                        keyed::delete(tx, &job.value)?;
                        gone += 1;
                    }
                }
                Ok::<_, CatalogError>(gone)
            });
            is_full = gone.await? == BATCH;
        }
    }
    Ok(())
}

/// Whether a recovery point that is whole, or failed, has outlived its lifecycle.
fn is_over(snapshot: &model::Snapshot, now: Timestamp) -> bool {
    let rests = matches!(
        snapshot.status,
        SnapshotStatus::Available | SnapshotStatus::Failed
    );
    let point = snapshot.recovery_point.as_ref();
    let delete_at = point.and_then(|point| point.delete_at(snapshot.recorded_at));
    rests && delete_at.is_some_and(|delete_at| delete_at <= now)
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;
    use model::{
        Account, BackupJob, Clock as _, RecoveryPoint, Snapshot, Told, recovery_point::Lifecycle,
    };

    use super::*;
    use crate::sweep::{
        checker::fixture::{Fixture, home},
        month,
    };

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn point(name: &str, days: Option<u32>, now: Timestamp) -> Snapshot {
        Snapshot {
            kind: SnapshotKind::Backup,
            status: SnapshotStatus::Available,
            recorded_at: now,
            recovery_point: Some(RecoveryPoint {
                vault: samples::backup_vault("v").name,
                job: name.to_owned(),
                resource: samples::backup_job("j").resource,
                iam_role: String::new(),
                lifecycle: Lifecycle {
                    cold_after_days: None,
                    delete_after_days: days,
                },
                completed_at: None,
                job_at: None,
                rule: None,
            }),
            ..samples::snapshot(name)
        }
    }

    fn names(fixture: &Fixture) -> Vec<String> {
        let found = fixture.catalog.read(|tx| {
            let rows = snapshots::of_kind(tx, &home(), SnapshotKind::Backup, None, 100)?;
            Ok::<_, CatalogError>(rows)
        });
        let rows = fixture.runtime.block_on(found).expect("it answers");
        rows.iter().map(|row| row.value.name.to_string()).collect()
    }

    #[test]
    fn a_recovery_point_goes_at_the_end_of_its_lifecycle_and_not_before() {
        let fixture = Fixture::new();
        let context = month::context(&fixture);
        let now = fixture.clock.now();
        let mut running = point("running", Some(1), now);
        running.status = SnapshotStatus::Creating;
        let mut manual = point("manual", Some(1), now);
        manual.kind = SnapshotKind::Manual;
        let all = [
            point("one-day", Some(1), now),
            point("two-days", Some(2), now),
            point("for-ever", None, now),
            running,
            manual,
        ];
        let mut old = samples::backup_job("old");
        old.created_at = now;
        let kept = fixture.catalog.write(move |tx| {
            for snapshot in &all {
                snapshots::insert(tx, snapshot.clone())?;
            }
            keyed::insert(tx, old.clone()).map(drop)
        });
        fixture.runtime.block_on(kept).expect("it is kept");
        let look = || {
            let region = home();
            let looked = expire(&context, &region);
            fixture.runtime.block_on(looked).expect("it looks");
            names(&fixture)
        };
        let jobs = || {
            let account: Account = samples::account(1);
            let found = fixture
                .catalog
                .read(move |tx| keyed::list::<BackupJob>(tx, &home(), &[account.as_str()], 10));
            fixture.runtime.block_on(found).expect("it answers").len()
        };
        fixture
            .clock
            .set(now.plus(DAY).minus(Duration::from_secs(1)));
        assert_eq!(look(), ["for-ever", "one-day", "running", "two-days"]);
        fixture.clock.set(now.plus(DAY));
        assert_eq!(look(), ["for-ever", "running", "two-days"]);
        assert_eq!(jobs(), 1);
        fixture.clock.set(now.plus(DAY * 31));
        assert_eq!(look(), ["for-ever", "running"]);
        assert_eq!(jobs(), 0);
    }

    #[test]
    fn a_job_tells_what_became_of_its_snapshot() {
        let fixture = Fixture::new();
        let now = fixture.clock.now();
        let done = fixture.catalog.write(move |tx| {
            let mut told = Vec::new();
            for (name, status) in [
                ("good", SnapshotStatus::Available),
                ("bad", SnapshotStatus::Failed),
            ] {
                let mut job = samples::backup_job(name);
                (job.state, job.ended_at) = (BackupJobState::Running, None);
                keyed::insert(tx, job)?;
                let mut snapshot = point(name, None, now);
                snapshot.status = status;
                snapshot.failure = (name == "bad").then(|| Told::new("the disk is full"));
                recovery_points::settle(tx, &mut snapshot)?;
                let key = [snapshot.account.as_str(), name];
                let job = keyed::get::<BackupJob>(tx, &snapshot.region, &key)?;
                let job = job.expect("it is there").value;
                let whole = snapshot.recovery_point.and_then(|point| point.completed_at);
                told.push((
                    job.state,
                    job.message,
                    job.ended_at.is_some(),
                    whole.is_some(),
                ));
            }
            Ok::<_, CatalogError>(told)
        });
        let told = fixture.runtime.block_on(done).expect("it is kept");
        let why = Some("the disk is full".to_owned());
        assert_eq!(
            told,
            [
                (BackupJobState::Completed, None, true, true),
                (BackupJobState::Failed, why, true, false),
            ]
        );
    }
}
