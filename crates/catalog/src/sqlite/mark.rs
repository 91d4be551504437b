//! When the file was last written, by this process or another.
use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use model::{Clock, Timestamp};

use crate::transaction::CommitMark;

/// How long the log must have been left alone. File systems give writes within one tick
/// of the kernel's clock, some milliseconds, the same time; one that comes after a mark must have
/// another than the one before it.
const SETTLED: Duration = Duration::from_secs(1);

/// Looks at the write-ahead log of a catalog, which each commit of any process writes to. Never opens
/// it: to close a file gives back all locks that the process holds on it.
pub(super) struct LogWatch {
    log: PathBuf,
}

impl LogWatch {
    pub(super) fn of(catalog: &Path) -> Self {
        let mut log = catalog.as_os_str().to_owned();
        log.push("-wal");
        Self { log: log.into() }
    }

    /// Where the log stands; none while it cannot be told from where it stands after a commit that
    /// comes now.
    pub(super) fn settled(&self, commits: u64, clock: &dyn Clock) -> Option<CommitMark> {
        let seen = fs::metadata(&self.log).ok()?;
        let then = Timestamp(seen.mtime() * 1_000_000 + seen.mtime_nsec() / 1000);
        (then.plus(SETTLED) < clock.now()).then(|| mark(commits, &seen))
    }

    pub(super) fn is_at(&self, commits: u64, then: &CommitMark) -> bool {
        fs::metadata(&self.log).is_ok_and(|seen| mark(commits, &seen) == *then)
    }
}

fn mark(commits: u64, seen: &Metadata) -> CommitMark {
    CommitMark {
        commits,
        written: (seen.mtime(), seen.mtime_nsec()),
        len: seen.len(),
    }
}
