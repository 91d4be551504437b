//! Where clusters of tests lie.
use std::{fs, path::Path};

/// Where the system has a file system in memory.
const MEMORY: &str = "/dev/shm";
/// What the folders' names begin with there, as those of the client tests (python/snapferry_tools/memory.py).
const PREFIX: &str = "snapferry-memory-";
/// Bytes that must be free: the clusters of all tests that run at once, and much more.
const BYTES_MIN: u64 = 4 << 30;

/// A folder that is gone when its owner is.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
    /// Ends with this process, however that ends: what a killed one leaves is removed by the next run
    /// (`scripts/test`).
    _lock: Option<fs::File>,
}

impl Folder {
    pub(crate) fn on_disk() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            _lock: None,
        }
    }

    /// In memory while that has room, for what is made durable over and over. On a disk that others write to, each
    /// of that waits for their bytes, too.
    pub(crate) fn in_memory() -> Self {
        if !has_room() {
            return Self::on_disk();
        }
        let mut builder = tempfile::Builder::new();
        let dir = builder.prefix(PREFIX).tempdir_in(MEMORY);
        let dir = dir.expect("a folder");
        let lock = fs::File::open(dir.path()).expect("a folder");
        lock.lock().expect("a lock");
        Self {
            dir,
            _lock: Some(lock),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Whether the system has a file system in memory with room, in which programs can be run.
fn has_room() -> bool {
    let Ok(facts) = rustix::fs::statvfs(MEMORY) else {
        return false;
    };
    let available = || -> Option<u64> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let mut lines = text.lines();
        let kib = lines.find_map(|line| line.strip_prefix("MemAvailable:")?.strip_suffix(" kB"))?;
        Some(kib.trim().parse::<u64>().ok()? << 10)
    };
    let room = available()
        .unwrap_or(0)
        .min(facts.f_bavail * facts.f_frsize);
    BYTES_MIN <= room && !facts.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC)
}
