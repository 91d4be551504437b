//! The snapshots that streams of a cluster's log lead on from.
//!
//! It does not know what is in a log.
use std::time::Duration;

use catalog::{CatalogError, Tx, snapshots};
use model::{Cluster, InLog, Snapshot, SnapshotStatus, Timestamp};
use uuid::Uuid;

/// Snapshots of one volume that are looked at, at most.
const SNAPSHOTS_MAX: usize = 10_000;
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A snapshot, and where in its cluster's log it lies.
#[derive(Debug, Clone)]
pub struct Base {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Where it lies.
    pub in_log: InLog,
}

/// The whole snapshots of a cluster that its streams lead on from, by their moments.
///
/// # Errors
/// The catalog's.
pub fn of_cluster(tx: &mut dyn Tx, cluster: &Cluster) -> Result<Vec<Base>, CatalogError> {
    let (region, volume, account) = (&cluster.region, &cluster.volume, &cluster.account);
    let found = snapshots::in_volume(tx, region, volume, account, SNAPSHOTS_MAX)?;
    let mut bases: Vec<Base> = found
        .into_iter()
        .map(|stored| stored.value)
        .filter(|snapshot| {
            snapshot.cluster_resource_id == cluster.resource_id
                && snapshot.status == SnapshotStatus::Available
                && snapshot.content.is_some()
        })
        .filter_map(|snapshot| {
            let in_log = snapshot.in_log?;
            Some(Base { snapshot, in_log })
        })
        .collect();
    bases.sort_by_key(|base| base.in_log.at);
    Ok(bases)
}

/// Of a stream's bases the one that must be kept for all moments that are to be restorable: the last
/// one that is older than the retention, or the first there is.
pub fn first_needed(
    bases: &[Base],
    stream: Uuid,
    retention_days: u32,
    now: Timestamp,
) -> Option<&Base> {
    let begin = now.minus(DAY * retention_days);
    let of_stream = || bases.iter().filter(|base| base.in_log.stream == stream);
    let older = of_stream().rfind(|base| base.in_log.at <= begin);
    older.or_else(|| of_stream().next())
}

/// The base from which a moment is restored: the last one before it.
pub fn for_moment(bases: &[Base], stream: Uuid, until: Timestamp) -> Option<&Base> {
    let is_it = |base: &&Base| base.in_log.stream == stream && base.in_log.at <= until;
    bases.iter().rfind(is_it)
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;
    use model::LogPlace;

    use super::*;

    fn base(stream: u128, at: Timestamp) -> Base {
        let place = LogPlace {
            timeline: 1,
            position: 0,
        };
        Base {
            snapshot: samples::snapshot("s"),
            in_log: InLog {
                stream: Uuid::from_u128(stream),
                start: place,
                end: place,
                at,
            },
        }
    }

    #[test]
    fn what_the_retention_needs_is_kept() {
        let now = Timestamp(0).plus(DAY * 100);
        let days_ago = |days: u32| now.minus(DAY * days);
        let bases: Vec<Base> = [9, 8, 7, 3, 1]
            .map(|days| base(1, days_ago(days)))
            .into_iter()
            .chain([base(2, days_ago(0))])
            .collect();
        let first = |stream, days| {
            let found = first_needed(&bases, Uuid::from_u128(stream), days, now);
            found.map(|base| base.in_log.at)
        };
        assert_eq!(first(1, 35), Some(days_ago(9)));
        assert_eq!(first(1, 7), Some(days_ago(7)));
        assert_eq!(first(1, 5), Some(days_ago(7)), "for the moment 5 days ago");
        assert_eq!(first(2, 1), Some(days_ago(0)));
        assert_eq!(first(3, 1), None);
        let at = |until| {
            let found = for_moment(&bases, Uuid::from_u128(1), until);
            found.map(|base| base.in_log.at)
        };
        assert_eq!(at(days_ago(2)), Some(days_ago(3)));
        assert_eq!(at(days_ago(3)), Some(days_ago(3)));
        assert_eq!(at(days_ago(10)), None);
    }
}
