//! Automated snapshots whose retention period is over.
//!
//! Each is kept for the period, and the newest of those that are older as well: without it, what
//! the cluster was as the period began could not be restored.
use std::time::Duration;

use catalog::{CatalogError, CatalogExt, Tx, automated, clusters, keyed, retained_backups};
use model::{Snapshot, SnapshotStatus, Timestamp};

use super::ends;
use crate::context::ServiceContext;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// The longest period there is: for snapshots of which nothing says how long they are kept.
const DAYS_MAX: u32 = 35;

/// How long a cluster's automated snapshots are kept.
#[derive(Debug, Clone, Copy)]
struct Period {
    days: u32,
    /// When the cluster was deleted: once that is so long ago, nothing is kept.
    ended_at: Option<Timestamp>,
}

impl Period {
    fn is_over(self, since: Timestamp, now: Timestamp) -> bool {
        since.plus(DAY * self.days) <= now
    }

    /// Those that are not kept any longer, of a cluster's in the order of their age.
    fn over(self, oldest_first: &[Snapshot], now: Timestamp) -> Vec<&Snapshot> {
        let mut older: Vec<&Snapshot> = oldest_first
            .iter()
            .filter(|one| self.is_over(one.created_at, now))
            .collect();
        let covers = |one: &&Snapshot| one.status == SnapshotStatus::Available;
        if self.ended_at.is_none_or(|ended| !self.is_over(ended, now))
            && let Some(at) = older.iter().rposition(covers)
        {
            older.remove(at);
        }
        // What is still being taken, or brought here, is its job's to end.
        let is_made = |status| matches!(status, SnapshotStatus::Creating | SnapshotStatus::Copying);
        older.retain(|one| !is_made(one.status));
        older
    }
}

/// The period of a cluster's, as it now is.
fn period(
    tx: &mut dyn Tx,
    (region, _, cluster): &automated::Owner,
) -> Result<Period, CatalogError> {
    let found = clusters::get_by_resource_id(tx, cluster)?;
    if let Some(found) = found.filter(|found| found.value.region == *region) {
        return Ok(Period {
            days: found.value.backup_retention_days,
            ended_at: None,
        });
    }
    let retained = retained_backups::get(tx, region, cluster)?;
    Ok(match retained.map(|stored| stored.value) {
        Some(retained) => Period {
            days: retained.cluster.backup_retention_days,
            ended_at: retained.deleted_at,
        },
        None => Period {
            days: DAYS_MAX,
            ended_at: None,
        },
    })
}

/// The snapshots of a cluster that are to go.
fn due(tx: &mut dyn Tx, owner: &automated::Owner) -> Result<Vec<Snapshot>, CatalogError> {
    let of = (&owner.0, &owner.1, &owner.2);
    let all = automated::of_cluster(tx, of)?.into_iter();
    let all: Vec<Snapshot> = all.map(|stored| stored.value).collect();
    let (period, now) = (period(tx, owner)?, tx.now());
    Ok(period.over(&all, now).into_iter().cloned().collect())
}

/// Deletes what is over; a cluster's at a time, so that others get between.
///
/// # Errors
/// The catalog's.
pub(crate) async fn expire(context: &ServiceContext) -> Result<(), CatalogError> {
    let over = context.catalog.read(|tx| {
        let mut over = Vec::new();
        for owner in automated::owners(tx)? {
            if !due(tx, &owner)?.is_empty() {
                over.push(owner);
            }
        }
        Ok::<_, CatalogError>(over)
    });
    for owner in over.await? {
        if context.is_stopping() {
            break;
        }
        context
            .catalog
            .write(move |tx| {
                for snapshot in due(tx, &owner)? {
                    ends::delete(tx, &snapshot)?;
                }
                // A retained backup ends with its last snapshot.
                let of = (&owner.0, &owner.1, &owner.2);
                if automated::of_cluster(tx, of)?.is_empty()
                    && let Some(retained) = retained_backups::get(tx, &owner.0, &owner.2)?
                    && !retained.value.is_brought()
                {
                    keyed::delete(tx, &retained.value)?;
                }
                Ok::<_, CatalogError>(())
            })
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;

    use super::*;

    fn taken(days_ago: u32, status: SnapshotStatus) -> Snapshot {
        Snapshot {
            status,
            created_at: NOW.minus(DAY * days_ago),
            ..samples::snapshot(&format!("rds:c-{days_ago}"))
        }
    }

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn over(days: u32, snapshots: &[Snapshot]) -> Vec<String> {
        let period = Period {
            days,
            ended_at: None,
        };
        let over = period.over(snapshots, NOW);
        over.iter().map(|one| one.name.to_string()).collect()
    }

    #[test]
    fn the_period_stays_and_the_one_that_covers_its_begin() {
        let available: Vec<Snapshot> = [9, 8, 7, 6, 1, 0]
            .map(|days| taken(days, SnapshotStatus::Available))
            .into();
        assert_eq!(over(7, &available), ["rds:c-9", "rds:c-8"]);
        assert_eq!(over(1, &available).len(), 4);
        assert_eq!(over(35, &available).len(), 0);
        let old = [taken(9, SnapshotStatus::Available)];
        assert!(over(1, &old).is_empty(), "the newest stays");
    }

    #[test]
    fn of_a_deleted_cluster_the_last_goes_when_nothing_could_be_restored_by_it() {
        let snapshots = [9, 8, 7].map(|days| taken(days, SnapshotStatus::Available));
        for (days_ago, over) in [(0, 2), (6, 2), (7, 3)] {
            let period = Period {
                days: 7,
                ended_at: Some(NOW.minus(DAY * days_ago)),
            };
            assert_eq!(period.over(&snapshots, NOW).len(), over, "{days_ago}");
        }
    }

    #[test]
    fn only_one_that_can_be_restored_covers_anything() {
        let mixed = [
            taken(9, SnapshotStatus::Available),
            taken(8, SnapshotStatus::Available),
            taken(7, SnapshotStatus::Failed),
            taken(6, SnapshotStatus::Creating),
        ];
        assert_eq!(over(3, &mixed), ["rds:c-9", "rds:c-7"]);
    }
}
