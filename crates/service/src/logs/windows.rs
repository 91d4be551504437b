//! The moments that clusters can be restored to, as this node's streams know them.
//!
//! It does not know how a stream goes on. While the database is idle the latest moment advances
//! without anything being written, so records say it only now and then.
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use model::{Cluster, ResourceId, RestoreWindow, Timestamp};
use uuid::Uuid;

#[derive(Debug, Clone, Copy)]
struct Known {
    stream: Uuid,
    earliest: Option<Timestamp>,
    latest: Option<Timestamp>,
    /// Chunks that were written.
    chunks: u64,
    /// Changes with each chunk that may have been written.
    mark: u64,
}

/// No two states of what was written have the same number.
fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Relaxed)
}

/// What this node's streams know.
#[derive(Debug, Default)]
pub struct LogWindows(Mutex<HashMap<ResourceId, Known>>);

impl LogWindows {
    fn known(&self) -> MutexGuard<'_, HashMap<ResourceId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The moments that a cluster can be restored to: as its stream knows them where it goes on here,
    /// else as its record says.
    pub fn of(&self, cluster: &Cluster) -> Option<RestoreWindow> {
        let stream = cluster.logs.last()?;
        let recorded = (stream.earliest, stream.latest);
        let (earliest, latest) = match self.known().get(&cluster.resource_id) {
            Some(known) if known.stream == stream.id => {
                (known.earliest, known.latest.max(recorded.1))
            }
            _ => recorded,
        };
        let (earliest, latest) = (earliest?, latest?);
        (earliest <= latest).then_some(RestoreWindow { earliest, latest })
    }

    /// A stream goes on here.
    pub(crate) fn begin(&self, cluster: &ResourceId, stream: Uuid, earliest: Option<Timestamp>) {
        let mut known = self.known();
        let one = known.entry(cluster.clone()).or_insert(Known {
            stream,
            earliest,
            latest: None,
            chunks: 0,
            mark: fresh(),
        });
        if one.stream != stream {
            one.latest = None;
        }
        (one.stream, one.earliest) = (stream, earliest);
    }

    /// A chunk of the log was written.
    pub(crate) fn wrote(&self, cluster: &ResourceId) {
        if let Some(known) = self.known().get_mut(cluster) {
            known.chunks += 1;
            known.mark = fresh();
        }
    }

    /// Chunks may have been written by a try whose end was not known.
    pub(crate) fn may_have_written(&self, cluster: &ResourceId) {
        if let Some(known) = self.known().get_mut(cluster) {
            known.mark = fresh();
        }
    }

    /// How many chunks of a cluster's log were written here; none when it is not shipped here.
    pub(crate) fn written(&self, cluster: &ResourceId) -> Option<u64> {
        self.known().get(cluster).map(|known| known.chunks)
    }

    /// What is the same for as long as no chunk of a cluster's log can have been written here; none when it is not
    /// shipped here.
    pub(crate) fn mark(&self, cluster: &ResourceId) -> Option<u64> {
        self.known().get(cluster).map(|known| known.mark)
    }

    /// Whether anything was kept since a moment at which so many chunks had been written.
    pub(crate) fn got_on(&self, cluster: &ResourceId, since: Timestamp, written: u64) -> bool {
        let known = self.known();
        known
            .get(cluster)
            .is_some_and(|known| written < known.chunks || Some(since) < known.latest)
    }

    /// What was acknowledged until a moment is kept.
    pub(crate) fn reach(&self, cluster: &ResourceId, stream: Uuid, latest: Timestamp) {
        if let Some(known) = self.known().get_mut(cluster)
            && known.stream == stream
        {
            known.latest = known.latest.max(Some(latest));
        }
    }

    /// A snapshot was taken from which the stream leads on.
    pub(crate) fn based(&self, cluster: &ResourceId, stream: Uuid, at: Timestamp) {
        if let Some(known) = self.known().get_mut(cluster)
            && known.stream == stream
        {
            known.earliest = Some(known.earliest.map_or(at, |earliest| earliest.min(at)));
        }
    }

    /// A cluster's stream no longer goes on here.
    pub(crate) fn forget(&self, cluster: &ResourceId) {
        self.known().remove(cluster);
    }

    /// How many of some clusters have no stream here that got anywhere: how far behind they are is
    /// not known.
    pub(crate) fn unreached<'a>(&self, clusters: impl Iterator<Item = &'a ResourceId>) -> usize {
        let known = self.known();
        let reached = |id| known.get(id).is_some_and(|known| known.latest.is_some());
        clusters.filter(|id| !reached(*id)).count()
    }

    /// The latest moment of the stream that is farthest behind.
    pub(crate) fn farthest_behind(&self) -> Option<Timestamp> {
        self.known().values().filter_map(|known| known.latest).min()
    }
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;
    use model::{LogPlace, LogStream};

    use super::*;

    #[test]
    fn a_window_is_what_the_newest_stream_restores() {
        let windows = LogWindows::default();
        let mut cluster = samples::cluster("c");
        let id = cluster.resource_id.clone();
        assert_eq!(windows.of(&cluster), None);
        let stream = Uuid::from_u128(1);
        windows.begin(&id, stream, None);
        assert_eq!(windows.unreached([&id].into_iter()), 1);
        windows.reach(&id, stream, Timestamp(50));
        assert_eq!(windows.unreached([&id].into_iter()), 0);
        assert!(windows.got_on(&id, Timestamp(49), 0));
        assert!(!windows.got_on(&id, Timestamp(50), 0), "that was before");
        windows.wrote(&id);
        assert!(windows.got_on(&id, Timestamp(50), 0));
        assert!(!windows.got_on(&id, Timestamp(50), 1));
        assert_eq!(windows.of(&cluster), None, "the record has no stream");
        cluster.logs.push(LogStream {
            id: stream,
            wrapped_key: None,
            began: LogPlace {
                timeline: 1,
                position: 0,
            },
            began_at: Timestamp(1),
            ended_at: None,
            earliest: None,
            latest: None,
        });
        assert_eq!(windows.of(&cluster), None, "it leads on from nothing");
        windows.based(&id, stream, Timestamp(40));
        windows.based(&id, stream, Timestamp(45));
        windows.reach(&id, stream, Timestamp(45));
        let window = |earliest, latest| {
            Some(RestoreWindow {
                earliest: Timestamp(earliest),
                latest: Timestamp(latest),
            })
        };
        assert_eq!(windows.of(&cluster), window(40, 50));
        windows.begin(&id, Uuid::from_u128(2), None);
        assert_eq!(windows.of(&cluster), None, "another stream goes on");
        windows.forget(&id);
        cluster.logs[0].earliest = Some(Timestamp(7));
        cluster.logs[0].latest = Some(Timestamp(9));
        assert_eq!(windows.of(&cluster), window(7, 9));
    }
}
