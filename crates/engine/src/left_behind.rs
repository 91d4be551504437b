//! Programs whose folder was removed under them.
//!
//! Whoever deletes a data folder by hand leaves its databases running, with files that have no name any
//! more. It does not know what a folder was of.
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal},
};
use tokio::time::{Instant, sleep};

use crate::{
    capabilities::Lacking,
    os_users::is_cluster_user,
    proc::{self, Unreadable},
    registry,
};

/// What the system writes behind the name of a folder that has none any more.
const REMOVED: &str = " (deleted)";
/// How long a server has to let go of what outlives it, such as shared memory, before SIGKILL.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long all of them may take.
const LAST_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Why they could not be told, or not ended.
#[derive(Debug, thiserror::Error)]
pub enum LeftBehindError {
    /// The system does not tell.
    #[error(
        "it cannot be told what a removed folder left, because {path:?} cannot be read{lacking}"
    )]
    CannotTell {
        /// What could not be read.
        path: PathBuf,
        /// The rights that this process lacks.
        lacking: Lacking,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A process cannot be signalled.
    #[error("process {pid} cannot be ended{lacking}")]
    Refused {
        /// Its number.
        pid: u32,
        /// The rights that this process lacks.
        lacking: Lacking,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Processes stay in spite of SIGKILL.
    #[error("processes that a removed folder left do not end: {0:?}")]
    WillNotEnd(Vec<u32>),
}

impl From<Unreadable> for LeftBehindError {
    fn from(error: Unreadable) -> Self {
        Self::CannotTell {
            lacking: crate::capabilities::explain(&error.source),
            path: error.path,
            source: error.source,
        }
    }
}

/// The programs that work in a folder below `above` that was removed: databases' servers, and whatever
/// clusters' own users run there. Somebody's shell is none of them. Blocks.
///
/// # Errors
/// [`LeftBehindError::CannotTell`].
pub fn left_behind(above: &Path) -> Result<Vec<u32>, LeftBehindError> {
    Ok(find(above, &BTreeSet::new())?)
}

/// The clusters' users that [`left_behind`] finds programs of. Blocks.
///
/// # Errors
/// [`LeftBehindError::CannotTell`].
pub fn users_left_behind(above: &Path) -> Result<Vec<u32>, LeftBehindError> {
    let mut users = Vec::new();
    for pid in left_behind(above)? {
        users.extend(proc::owner(pid)?.filter(|user| is_cluster_user(*user)));
    }
    Ok(users)
}

/// Also everything that these users run, wherever.
fn find(above: &Path, users: &BTreeSet<u32>) -> Result<Vec<u32>, Unreadable> {
    let mut found = Vec::new();
    for pid in proc::all()? {
        if is_of(pid, users)? || is_left(pid, above)? {
            found.push(pid);
        }
    }
    Ok(found)
}

fn is_of(pid: u32, users: &BTreeSet<u32>) -> Result<bool, Unreadable> {
    if users.is_empty() {
        return Ok(false);
    }
    let facts = proc::facts(pid)?;
    Ok(facts.is_some_and(|facts| facts.users.iter().any(|user| users.contains(user))))
}

fn is_left(pid: u32, above: &Path) -> Result<bool, Unreadable> {
    let link = PathBuf::from(format!("/proc/{pid}/cwd"));
    let folder = match fs::read_link(&link) {
        Ok(folder) => folder,
        // Some keep it to themselves, also from root. Those are none of ours unless they look like it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !may_be_ours(pid)? => {
            return Ok(false);
        }
        Err(error) => {
            return match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::SRCH) => Ok(false),
                _ => Err(Unreadable {
                    path: link,
                    source: error,
                }),
            };
        }
    };
    let removed = folder.to_str().and_then(|name| name.strip_suffix(REMOVED));
    if !removed.is_some_and(|name| Path::new(name).starts_with(above)) {
        return Ok(false);
    }
    let user = proc::owner(pid)?;
    if user.is_some_and(is_cluster_user) {
        return Ok(true);
    }
    let program = proc::program(pid)?;
    Ok(program.is_some_and(|name| registry::is_server(&name)))
}

/// Whether a process whose folder is not told is of a cluster's user, or this user's and a server by name.
fn may_be_ours(pid: u32) -> Result<bool, Unreadable> {
    let Some(owner) = proc::owner(pid)? else {
        return Ok(false);
    };
    if owner != rustix::process::geteuid().as_raw() {
        // Without root those are another's.
        return Ok(is_cluster_user(owner) && rustix::process::geteuid().is_root());
    }
    Ok(proc::facts(pid)?.is_some_and(|facts| registry::is_server(&facts.name)))
}

/// Ends what [`left_behind`] finds, and all else that the clusters' users among them run which `is_free`
/// says have no cluster any more. Answers how many processes that was.
///
/// # Errors
/// When they cannot be told or signalled, or stay.
pub async fn end_left_behind(
    above: &Path,
    is_free: impl Fn(u32) -> bool,
) -> Result<usize, LeftBehindError> {
    let users = users_left_behind(above)?;
    let users: BTreeSet<u32> = users.into_iter().filter(|user| is_free(*user)).collect();
    let first = find(above, &users)?;
    let begun = Instant::now();
    let mut left = first.clone();
    while !left.is_empty() {
        if begun + LAST_WAIT < Instant::now() {
            return Err(LeftBehindError::WillNotEnd(left));
        }
        let signal = match begun.elapsed() < PATIENCE {
            true => Signal::QUIT,
            false => Signal::KILL,
        };
        for pid in left {
            end(pid, above, &users, signal)?;
        }
        sleep(POLL).await;
        left = find(above, &users)?;
    }
    Ok(first.len())
}

fn end(
    pid: u32,
    above: &Path,
    users: &BTreeSet<u32>,
    signal: Signal,
) -> Result<(), LeftBehindError> {
    let refused = |error: Errno| {
        let source = io::Error::from(error);
        LeftBehindError::Refused {
            pid,
            lacking: crate::capabilities::explain(&source),
            source,
        }
    };
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    let held = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(held) => held,
        Err(Errno::SRCH) => return Ok(()),
        Err(error) => return Err(refused(error)),
    };
    // Looked at again: only now can the number not change its meaning.
    if !is_of(pid, users)? && !is_left(pid, above)? {
        return Ok(());
    }
    match rustix::process::pidfd_send_signal(&held, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_server_is_not_taken_for_one() {
        let above = tempfile::tempdir().expect("a folder");
        let folder = above.path().join("gone");
        fs::create_dir(&folder).expect("a folder");
        let mut sleeper = crate::programs::command("sleep")
            .arg("60")
            .current_dir(&folder)
            .spawn()
            .expect("it runs");
        fs::remove_dir(&folder).expect("removed");
        let found = left_behind(above.path());
        sleeper.kill().expect("it ends");
        sleeper.wait().expect("it ends");
        assert_eq!(found.expect("it can be told"), Vec::<u32>::new());
    }
}
