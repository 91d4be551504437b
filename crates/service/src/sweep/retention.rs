//! Has buckets keep what lies in vaults whose lock is fixed: by their object lock, so that whoever has the
//! bucket's credentials cannot delete it either.
use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalog::{CatalogError, CatalogExt, keyed, recovery_points, snapshots, tombstones};
use model::{BackupVault, Region, Snapshot, SnapshotStatus, Timestamp};
use vault::{Retained, Vault};

use super::SweepError;
use crate::{
    background::{Next, RunsOn, Task, TaskError},
    context::ServiceContext,
    lived,
};

/// Recovery points that are read at once.
const POINTS: usize = 200;
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How far ahead what is never deleted is kept, and at how much less it is kept anew.
const AHEAD: Duration = Duration::from_secs(35 * DAY.as_secs());
const AHEAD_LEFT_MIN: Duration = Duration::from_secs(28 * DAY.as_secs());

/// The task.
#[derive(Debug, Default)]
pub(crate) struct ObjectRetention {
    /// Regions that were told to have no object lock: it is told once.
    told: HashSet<Region>,
}

#[async_trait]
impl Task for ObjectRetention {
    const RUNS_ON: RunsOn = RunsOn::Leader;

    fn name(&self) -> String {
        "object_retention".to_owned()
    }

    fn period(&self, context: &ServiceContext) -> Duration {
        context.settings.upkeep_period()
    }

    async fn run(&mut self, context: &Arc<ServiceContext>) -> Result<Next, TaskError> {
        // What a bucket keeps too long by a wrong clock nobody takes back.
        let look = lived::look(context).await;
        let look = look.map_err(|error| TaskError::doing("the clock was not looked at", &error))?;
        if !look.is_believed {
            return Ok(Next::Period);
        }
        let mut first = Ok(Next::Period);
        for region in context.vaults.regions() {
            if let Err(error) = self.see_to(context, &region).await {
                let told =
                    format!("locked recovery points of {region} are not all kept by the bucket");
                first = first.and(Err(TaskError::doing(&told, &error)));
            }
        }
        first
    }
}

impl ObjectRetention {
    async fn see_to(
        &mut self,
        context: &ServiceContext,
        region: &Region,
    ) -> Result<(), SweepError> {
        let vault = context.vaults.get(region)?;
        if !vault.is_bucket() {
            return Ok(());
        }
        let here = region.clone();
        let read = context
            .catalog
            .read(move |tx| keyed::list::<BackupVault>(tx, &here, &[], usize::MAX));
        let fixed = read.await?.into_iter().map(|stored| stored.value);
        let mut first = Ok(());
        for one in fixed.filter(is_fixed) {
            match points(context, &vault, &one).await {
                Ok(true) => {}
                Ok(false) => {
                    if self.told.insert(region.clone()) {
                        tracing::warn!(vault = %one.arn(), "its lock is fixed, and the bucket has no object lock: whoever has the bucket's credentials can delete what lies in it");
                    }
                    break;
                }
                Err(error) => first = first.and(Err(error)),
            }
        }
        first
    }
}

/// Whether it is written down that a vault's lock is fixed: that its date has come is a clock's word.
fn is_fixed(vault: &BackupVault) -> bool {
    vault.lock.as_ref().is_some_and(|lock| lock.is_fixed)
}

/// Until when the bucket is to keep a recovery point; none: it does already.
fn wanted(snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
    let point = snapshot.recovery_point.as_ref()?;
    let (until, least) = match point.delete_at(snapshot.recorded_at) {
        // One whose time is over waits for its end, by a clock that nobody sets.
        Some(end) => {
            let until = end.max(now.plus(DAY));
            (until, end.max(now))
        }
        None => (now.plus(AHEAD), now.plus(AHEAD_LEFT_MIN)),
    };
    point
        .retained_until
        .is_none_or(|already| already < least)
        .then_some(until)
}

/// Has a vault's recovery points kept; answers whether the bucket can. The first error is answered when all
/// had their turn.
async fn points(
    context: &ServiceContext,
    vault: &Vault,
    of: &BackupVault,
) -> Result<bool, SweepError> {
    let (mut after, mut first) = (None, Ok(true));
    while !context.is_stopping() {
        let (one, from) = (of.clone(), after.clone());
        let read = context.catalog.read(move |tx| {
            let owner = (&one.region, &one.account);
            recovery_points::in_vault(tx, owner, &one.name, from.as_ref(), POINTS)
        });
        let rows = read.await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.value.name.clone());
        let now = context.now();
        for snapshot in rows.into_iter().map(|stored| stored.value) {
            let Some(until) = wanted(&snapshot, now).filter(|_| !context.is_stopping()) else {
                continue;
            };
            match keep(context, vault, snapshot, until).await {
                Ok(true) => {}
                Ok(false) => return first.and(Ok(false)),
                Err(error) => first = first.and(Err(error)),
            }
        }
    }
    first
}

async fn keep(
    context: &ServiceContext,
    vault: &Vault,
    snapshot: Snapshot,
    until: Timestamp,
) -> Result<bool, SweepError> {
    let whole = snapshot.status == SnapshotStatus::Available;
    let Some(content) = snapshot.content.as_ref().filter(|_| whole) else {
        return Ok(true);
    };
    let volume = content.volume.clone();
    let (here, prefix) = (snapshot.region.clone(), format!("volumes/{volume}/"));
    let absent = context
        .catalog
        .read(move |tx| tombstones::list(tx, &here, &prefix));
    let absent = absent.await?;
    match vault::retain(vault, &volume, content.manifest, &absent, until).await? {
        None | Some(Retained::NoLock) => return Ok(false),
        Some(Retained::Kept) => {}
    }
    let noted = context.catalog.write(move |tx| {
        let found = snapshots::get(tx, &snapshot.region, &snapshot.account, &snapshot.name)?;
        let Some(mut stored) = found.filter(|stored| stored.value.uid == snapshot.uid) else {
            return Ok(());
        };
        if let Some(point) = &mut stored.value.recovery_point {
            point.retained_until = Some(until);
        }
        snapshots::update(tx, stored)?;
        Ok::<_, CatalogError>(())
    });
    noted.await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;

    use super::*;

    #[test]
    fn only_a_lock_that_was_written_down_as_fixed_counts() {
        let mut vault = samples::backup_vault("v");
        assert!(!is_fixed(&vault));
        for fixed in [false, true] {
            vault.lock = Some(model::VaultLock {
                min_days: Some(7),
                max_days: None,
                lock_date: Some(Timestamp(0)),
                is_fixed: fixed,
            });
            assert_eq!(is_fixed(&vault), fixed);
        }
    }

    #[test]
    fn what_is_kept_long_enough_is_left_alone() {
        let mut point = samples::recovery_point("p", "c", "v", Timestamp(0));
        let days = |count: u64| Timestamp(0).plus(DAY * u32::try_from(count).expect("days"));
        let mut set = |delete_after_days, retained_until| {
            let said = point.recovery_point.as_mut().expect("one");
            said.lifecycle.delete_after_days = delete_after_days;
            said.retained_until = retained_until;
            point.clone()
        };
        let now = days(1);
        assert_eq!(wanted(&set(Some(7), None), now), Some(days(7)));
        assert_eq!(wanted(&set(Some(7), Some(days(7))), now), None);
        // Its time is over, and it is still there.
        assert_eq!(wanted(&set(Some(7), Some(days(7))), days(8)), Some(days(9)));
        assert_eq!(wanted(&set(Some(7), Some(days(9))), days(8)), None);
        // What stays for ever is kept for a while, again and again.
        assert_eq!(wanted(&set(None, None), now), Some(days(36)));
        assert_eq!(wanted(&set(None, Some(days(36))), now), None);
        assert_eq!(wanted(&set(None, Some(days(36))), days(9)), Some(days(44)));
    }
}
