//! Deletes recovery points whose time is over, and forgets old jobs of theirs, once the clock is
//! believed.
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogExt, Stored, Tx, backup_jobs, keyed, restore_testing, snapshots,
};
use model::{
    BackupJobState, BackupVault, LegalHold, Region, Snapshot, SnapshotKind, SnapshotStatus,
    Timestamp,
};

use super::BATCH;
use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
    events, lived,
    pins::{self, Pin},
    recovery_points,
};

/// How long receipts of restore tests are kept: over a year, so that one of the year before is there.
const RECEIPTS_KEPT: Duration = Duration::from_secs(400 * 24 * 3_600);
/// How long jobs are remembered (API_ListBackupJobs).
const JOBS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The task.
#[derive(Debug)]
pub(crate) struct RecoveryPointExpiry;

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
        let look = lived::look(context).await.map_err(failed)?;
        if !look.is_believed {
            return Ok(Next::Period);
        }
        for region in context.vaults.regions() {
            fix_locks(context, &region).await.map_err(failed)?;
            expire(context, &region, look.lived).await.map_err(failed)?;
            forget_holds(context, &region).await.map_err(failed)?;
        }
        Ok(Next::Period)
    }
}

/// Writes into vaults whose lock date has come that it has, so that no clock which goes back undoes it.
async fn fix_locks(context: &ServiceContext, region: &Region) -> Result<(), CatalogError> {
    let (here, now) = (region.clone(), context.now());
    let is_due = move |vault: &BackupVault| {
        let lock = vault.lock.as_ref();
        lock.is_some_and(|lock| lock.is_fixed(now) && !lock.is_fixed)
    };
    let vaults = context
        .catalog
        .read(move |tx| keyed::list::<BackupVault>(tx, &here, &[], usize::MAX));
    if !vaults.await?.iter().any(|vault| is_due(&vault.value)) {
        return Ok(());
    }
    let here = region.clone();
    let fixed = context.catalog.write(move |tx| {
        let mut fixed = Vec::new();
        for mut stored in keyed::list::<BackupVault>(tx, &here, &[], usize::MAX)? {
            if is_due(&stored.value)
                && let Some(lock) = &mut stored.value.lock
            {
                lock.is_fixed = true;
                fixed.push(keyed::update(tx, stored)?.value.arn());
            }
        }
        Ok::<_, CatalogError>(fixed)
    });
    for vault in fixed.await? {
        tracing::info!(%vault, "its lock can be changed no more");
    }
    Ok(())
}

/// Forgets legal holds that were cancelled, and whose records were to be kept until now.
async fn forget_holds(context: &ServiceContext, region: &Region) -> Result<(), CatalogError> {
    let (here, now) = (region.clone(), context.now());
    let is_over = move |hold: &LegalHold| {
        let until = hold.cancelled.as_ref().and_then(|end| end.retain_until);
        until.is_some_and(|until| until <= now)
    };
    let holds = context
        .catalog
        .read(move |tx| keyed::list::<LegalHold>(tx, &here, &[], usize::MAX));
    let holds = holds.await?.into_iter().map(|stored| stored.value);
    let over: Vec<LegalHold> = holds.filter(is_over).collect();
    if over.is_empty() {
        return Ok(());
    }
    let gone = context.catalog.write(move |tx| {
        for hold in &over {
            keyed::delete(tx, hold)?;
        }
        Ok::<_, CatalogError>(())
    });
    gone.await
}

async fn expire(
    context: &ServiceContext,
    region: &Region,
    lived: Timestamp,
) -> Result<(), CatalogError> {
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
                for stored in rows {
                    if is_over(&stored.value, now) && !keep(tx, &stored, lived)? {
                        recovery_points::forget(tx, &stored.value)?;
                        gone.push(stored.value.arn());
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
    forget_jobs(context, region, now.minus(JOBS_KEPT)).await?;
    forget_receipts(context, region, now.minus(RECEIPTS_KEPT)).await
}

/// Forgets restore tests that were over long before a moment.
async fn forget_receipts(
    context: &ServiceContext,
    region: &Region,
    before: Timestamp,
) -> Result<(), CatalogError> {
    let mut is_full = true;
    while is_full && !context.is_stopping() {
        let here = region.clone();
        let gone = context.catalog.write(move |tx| {
            let old = restore_testing::over_before(tx, &here, before, BATCH)?;
            for drill in &old {
                keyed::delete(tx, &drill.value)?;
            }
            Ok::<_, CatalogError>(old.len())
        });
        is_full = gone.await? == BATCH;
    }
    Ok(())
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

/// Whether a recovery point stays though its time is over: under a legal hold, and in a locked vault
/// until its days were lived through. It then says why.
fn keep(
    tx: &mut dyn Tx,
    stored: &Stored<Snapshot>,
    lived: Timestamp,
) -> Result<bool, CatalogError> {
    let snapshot = &stored.value;
    let why = match pins::of_point(tx, snapshot)? {
        None => return Ok(false),
        Some(Pin::Lock(_)) if is_lived_through(snapshot, lived) => return Ok(false),
        Some(pin) => pin.to_string(),
    };
    let point = snapshot.recovery_point.as_ref();
    if point.is_some_and(|point| point.kept.as_ref() != Some(&why)) {
        let mut stored = stored.clone();
        if let Some(point) = &mut stored.value.recovery_point {
            point.kept = Some(why);
        }
        let kept = snapshots::update(tx, stored)?;
        events::backup::point(tx, &kept.value, "EXPIRED")?;
    }
    Ok(true)
}

/// Whether the days of a recovery point's lifecycle have gone by while a server ran.
fn is_lived_through(snapshot: &Snapshot, lived: Timestamp) -> bool {
    let point = snapshot.recovery_point.as_ref();
    let end = point.and_then(|point| {
        // One that an older build made counts from its own time.
        point.delete_at(point.lived_at.unwrap_or(snapshot.recorded_at))
    });
    end.is_some_and(|end| end <= lived)
}

/// Whether a recovery point that is whole, or failed, has outlived its lifecycle.
fn is_over(snapshot: &Snapshot, now: Timestamp) -> bool {
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
        Account, BackupJob, Clock as _, RecoveryPoint, Told, VaultLock, recovery_point::Lifecycle,
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
                lived_at: None,
                kept: None,
                retained_until: None,
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
            let looked = expire(&context, &region, fixture.clock.now());
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

    /// Whatever the clock says, a locked vault keeps its days, and a hold until it is cancelled.
    #[test]
    fn a_lock_counts_days_that_were_lived_through_and_a_hold_none() {
        let fixture = Fixture::new();
        let context = month::context(&fixture);
        let now = fixture.clock.now();
        let mut held = point("held", Some(1), now);
        if let Some(point) = &mut held.recovery_point {
            point.vault = samples::backup_vault("held").name;
        }
        let all = [point("locked", Some(10), now), held];
        let kept = fixture.catalog.write(move |tx| {
            for snapshot in &all {
                snapshots::insert(tx, snapshot.clone())?;
            }
            keyed::insert(tx, samples::legal_hold("held"))?;
            let mut vault = samples::backup_vault("v");
            vault.lock = Some(VaultLock {
                min_days: Some(1),
                max_days: None,
                lock_date: Some(now),
                is_fixed: false,
            });
            keyed::insert(tx, vault).map(drop)
        });
        fixture.runtime.block_on(kept).expect("it is kept");
        let look = |lived: Timestamp| {
            let region = home();
            let looked = async {
                fix_locks(&context, &region).await?;
                expire(&context, &region, lived).await
            };
            fixture.runtime.block_on(looked).expect("it looks");
            names(&fixture)
        };
        // The clock goes a year ahead: nobody lived through it.
        fixture.clock.set(now.plus(DAY * 365));
        assert_eq!(look(now.plus(DAY * 9)), ["held", "locked"]);
        let told = fixture.catalog.read(move |tx| {
            let rows = snapshots::of_kind(tx, &home(), SnapshotKind::Backup, None, 9)?;
            let vault = keyed::list::<BackupVault>(tx, &home(), &[], 9)?;
            Ok::<_, CatalogError>((rows, vault))
        });
        let (rows, vaults) = fixture.runtime.block_on(told).expect("it answers");
        let words = ["legal hold", "locked"];
        for (row, word) in rows.iter().zip(words) {
            let point = row.value.recovery_point.as_ref().expect("it is one");
            let why = point.kept.as_deref().unwrap_or_default();
            assert!(why.contains(word), "{why}");
        }
        assert!(vaults.iter().all(|vault| {
            // Once its date has come, no clock that goes back undoes it.
            vault
                .value
                .lock
                .as_ref()
                .is_some_and(|lock| lock.is_fixed(Timestamp(0)))
        }));
        assert_eq!(look(now.plus(DAY * 10)), ["held"]);
        let cancelled = fixture.catalog.write(move |tx| {
            for mut hold in keyed::list::<LegalHold>(tx, &home(), &[], 9)? {
                hold.value.cancelled = Some(model::legal_hold::Cancelled {
                    at: now,
                    why: String::new(),
                    retain_until: Some(now),
                });
                keyed::update(tx, hold)?;
            }
            Ok::<_, CatalogError>(())
        });
        fixture.runtime.block_on(cancelled).expect("it is kept");
        assert_eq!(look(now), [""; 0]);
        let region = home();
        let forgotten = forget_holds(&context, &region);
        fixture.runtime.block_on(forgotten).expect("it looks");
        let left = fixture
            .catalog
            .read(|tx| keyed::list::<LegalHold>(tx, &home(), &[], 9));
        assert_eq!(fixture.runtime.block_on(left).expect("it answers"), []);
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
