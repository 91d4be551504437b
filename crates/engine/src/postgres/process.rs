//! The processes of one cluster's server, found by the folder they work in.
//!
//! It does not trust `postmaster.pid`: the server's user can write it, and numbers are used again.
use std::{
    fs,
    io::Read,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::time::{Instant, sleep};

use crate::{EngineError, Home, folder::Folder};

/// How long processes are given once they got SIGKILL, or lost their postmaster.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// How long the server's own emergency exit may take before SIGKILL.
const IMMEDIATE_WAIT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// A process, held so that its number cannot come to mean another one.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    parent: u32,
    handle: OwnedFd,
}

impl Process {
    fn signal(&self, signal: Signal) {
        // A process that is gone already is what every signal here wants.
        let _ = rustix::process::pidfd_send_signal(&self.handle, signal);
    }
}

/// The living processes of a cluster.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) postmaster: Option<Process>,
    pub(super) others: Vec<Process>,
}

impl Processes {
    pub(super) fn is_empty(&self) -> bool {
        self.postmaster.is_none() && self.others.is_empty()
    }

    fn pids(&self) -> Vec<u32> {
        let all = self.postmaster.iter().chain(&self.others);
        all.map(|process| process.pid).collect()
    }
}

/// Finds every `postgres` process that works in the cluster's data folder under its user.
pub(super) fn look(home: &Home) -> Processes {
    let mut found = Processes::default();
    let Some(place) = Place::of(home) else {
        return found;
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return found;
    };
    let mut all: Vec<Process> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| place.hold(pid))
        .collect();
    // The postmaster is the one whose parent is none of them.
    let pids: Vec<u32> = all.iter().map(|process| process.pid).collect();
    let written = read_lock_file(home).map(|lock| lock.pid);
    let is_root = |process: &Process| !pids.contains(&process.parent);
    let at = all
        .iter()
        .position(|process| Some(process.pid) == written && is_root(process))
        .or_else(|| {
            all.iter()
                .position(|process| is_root(process) && has_children(process, &all))
        });
    if let Some(at) = at {
        found.postmaster = Some(all.swap_remove(at));
    } else if let [_] = all.as_slice()
        && written.is_none()
    {
        // Alone, and no file yet: a postmaster that has just begun.
        found.postmaster = all.pop();
    }
    found.others = all;
    found
}

fn has_children(process: &Process, all: &[Process]) -> bool {
    all.iter().any(|other| other.parent == process.pid)
}

/// The data folder and the user that tell a cluster's processes from all others.
struct Place {
    folder: (u64, u64),
    uid: u32,
}

impl Place {
    fn of(home: &Home) -> Option<Self> {
        let facts = fs::symlink_metadata(home.data()).ok()?;
        Some(Self {
            folder: (facts.dev(), facts.ino()),
            uid: home.os_uid.unwrap_or_else(own_uid),
        })
    }

    /// Holds the process if it is one of the cluster's. Dead processes have no working folder.
    fn hold(&self, pid: u32) -> Option<Process> {
        if !self.has(pid) {
            return None;
        }
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let handle = rustix::process::pidfd_open(raw, PidfdFlags::empty()).ok()?;
        let parent = parent_of(pid)?;
        // Looked at again: only now can the number not change its meaning.
        self.has(pid).then_some(Process {
            pid,
            parent,
            handle,
        })
    }

    fn has(&self, pid: u32) -> bool {
        let in_proc = |name: &str| format!("/proc/{pid}/{name}");
        fs::metadata(in_proc("cwd")).is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == self.folder)
            && real_uid(pid) == Some(self.uid)
            && fs::read_link(in_proc("exe")).is_ok_and(|exe| {
                // After an upgrade of the package the name ends in " (deleted)".
                let name = exe.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name == "postgres" || name.starts_with("postgres "))
            })
    }
}

/// This process's user.
pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn real_uid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces and parentheses itself.
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// What a server wrote into `postmaster.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockFile {
    pub(super) pid: u32,
    pub(super) port: Option<u16>,
    pub(super) socket_dir: Option<String>,
}

/// Reads `postmaster.pid`, if it is there and makes sense.
pub(super) fn read_lock_file(home: &Home) -> Option<LockFile> {
    let file = Folder::open(&home.data())
        .ok()?
        .file("postmaster.pid")
        .ok()?;
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    Some(LockFile {
        pid: lines.next()?.trim().parse().ok()?,
        port: lines.nth(2).and_then(|line| line.trim().parse().ok()),
        socket_dir: lines.next().map(|line| line.trim().to_owned()),
    })
}

/// Ends the server: in order (SIGINT), after `patience` at once (SIGQUIT, then SIGKILL); a
/// `patience` of zero begins with SIGQUIT.
///
/// # Errors
/// When processes stay.
pub(super) async fn end(home: &Home, patience: Duration) -> Result<(), EngineError> {
    let found = look(home);
    if found.is_empty() {
        return Ok(());
    }
    if let Some(postmaster) = &found.postmaster {
        if !patience.is_zero() {
            postmaster.signal(Signal::INT);
            if all_gone_within(home, patience).await {
                return Ok(());
            }
            tracing::warn!(home = %home.dir.display(), "the server does not stop in order");
        }
        postmaster.signal(Signal::QUIT);
        if all_gone_within(home, IMMEDIATE_WAIT).await {
            return Ok(());
        }
    }
    kill_all(home).await
}

/// Waits for processes whose postmaster is gone, which end by themselves, and ends those that
/// do not: a new server cannot begin before.
///
/// # Errors
/// When processes stay.
pub(super) async fn end_orphans(home: &Home) -> Result<(), EngineError> {
    if all_gone_within(home, LAST_WAIT / 5).await {
        return Ok(());
    }
    kill_all(home).await
}

async fn kill_all(home: &Home) -> Result<(), EngineError> {
    let deadline = Instant::now() + LAST_WAIT;
    loop {
        let left = look(home);
        if left.is_empty() {
            return Ok(());
        }
        if deadline < Instant::now() {
            return Err(EngineError::WillNotEnd {
                home: home.dir.clone(),
                pids: left.pids(),
            });
        }
        for process in left.postmaster.iter().chain(&left.others) {
            process.signal(Signal::KILL);
        }
        sleep(POLL).await;
    }
}

async fn all_gone_within(home: &Home, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if look(home).is_empty() {
            return true;
        }
        if deadline <= Instant::now() {
            return false;
        }
        sleep(POLL).await;
    }
}

/// Tells a running server to read its settings again.
pub(super) fn reload(home: &Home) {
    if let Some(postmaster) = look(home).postmaster {
        postmaster.signal(Signal::HUP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_a_process_are_read() {
        let own = std::process::id();
        assert_eq!(parent_of(own), Some(std::os::unix::process::parent_id()));
        assert_eq!(real_uid(own), Some(rustix::process::getuid().as_raw()));
        assert_eq!(parent_of(u32::MAX), None);
    }
}
