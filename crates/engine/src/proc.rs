//! What the system says of processes, from `/proc`.
//!
//! An answer is a fact, "there is no such process", or an error: what could not be read is never
//! taken for a process that is not there.
use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::OnceLock,
    time::Duration,
};

use rustix::{
    io::Errno,
    process::geteuid,
    thread::{CapabilitySet, capabilities},
};

/// A file of `/proc` that could not be read, though its process may be there.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// What is known of a living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The name of its program, cut to 15 bytes.
    pub(crate) name: String,
    pub(crate) parent: u32,
    /// Its real, effective, saved and file system's user.
    pub(crate) users: [u32; 4],
}

/// Whether processes of other users are kept from this one: `/proc` is mounted so, and this process
/// is root without CAP_SYS_PTRACE. Asked once: neither changes.
fn hides_others() -> Result<bool, Unreadable> {
    static ASKED: OnceLock<bool> = OnceLock::new();
    if let Some(known) = ASKED.get() {
        return Ok(*known);
    }
    let path = PathBuf::from("/proc/self/mountinfo");
    let mounts = match fs::read_to_string(&path) {
        Ok(mounts) => mounts,
        Err(source) => return Err(Unreadable { path, source }),
    };
    let may_trace = capabilities(None)
        .map_err(|error| Unreadable {
            path,
            source: error.into(),
        })?
        .effective
        .contains(CapabilitySet::SYS_PTRACE);
    let hides = geteuid().is_root() && !may_trace && is_mounted_hiding(&mounts);
    Ok(*ASKED.get_or_init(|| hides))
}

/// Whether `mountinfo` has a `/proc` with `hidepid`, in numbers or words.
fn is_mounted_hiding(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let at = line.split(' ').nth(4);
        let options = line.split([' ', ',']);
        at == Some("/proc")
            && options
                .filter_map(|option| option.strip_prefix("hidepid="))
                .any(|value| !["0", "off"].contains(&value))
    })
}

/// The numbers of all processes.
///
/// # Errors
/// When the list cannot be read to its end, or is not a whole one.
pub(crate) fn all() -> Result<Vec<u32>, Unreadable> {
    if hides_others()? {
        return Err(Unreadable {
            path: PathBuf::from("/proc"),
            source: Errno::ACCESS.into(),
        });
    }
    let failed = |source| Unreadable {
        path: PathBuf::from("/proc"),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(found)
}

/// A process's facts; none when it is gone, or dead and only not yet waited for.
///
/// # Errors
/// When it may be there and cannot be read.
pub(crate) fn facts(pid: u32) -> Result<Option<Facts>, Unreadable> {
    let path = file(pid, "status");
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).ok_or_else(|| Unreadable {
            path,
            source: io::Error::from(ErrorKind::InvalidData),
        }),
        Err(error) => absent(path, error),
    }
}

/// The device and inode of a process's working folder; none when it is gone.
///
/// # Errors
/// When it may be there and cannot be read.
pub(crate) fn working_folder(pid: u32) -> Result<Option<(u64, u64)>, Unreadable> {
    let path = file(pid, "cwd");
    match fs::metadata(&path) {
        Ok(facts) => Ok(Some((facts.dev(), facts.ino()))),
        Err(error) => absent(path, error),
    }
}

/// The file name of a process's program; none when it is gone.
///
/// # Errors
/// When it may be there and cannot be read.
pub(crate) fn program(pid: u32) -> Result<Option<String>, Unreadable> {
    let exe = program_path(pid)?;
    Ok(exe.map(|exe| {
        let name = exe.file_name().unwrap_or(exe.as_os_str());
        name.to_string_lossy().into_owned()
    }))
}

/// Where a process's program is, or was; none when the process is gone, or the kernel's own.
///
/// # Errors
/// When it may be there and cannot be read.
pub(crate) fn program_path(pid: u32) -> Result<Option<PathBuf>, Unreadable> {
    let path = file(pid, "exe");
    match fs::read_link(&path) {
        Ok(exe) => Ok(Some(exe)),
        Err(error) => absent(path, error),
    }
}

/// How long ago a process began; none when it is gone.
///
/// # Errors
/// When it may be there and cannot be read.
pub(crate) fn age(pid: u32) -> Result<Option<Duration>, Unreadable> {
    let path = file(pid, "stat");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return absent(path, error),
    };
    let uptime_path = PathBuf::from("/proc/uptime");
    let uptime = fs::read_to_string(&uptime_path).map_err(|source| Unreadable {
        path: uptime_path,
        source,
    })?;
    let senseless = || Unreadable {
        path,
        source: io::Error::from(ErrorKind::InvalidData),
    };
    age_of(&text, &uptime).map(Some).ok_or_else(senseless)
}

/// The age that `stat` and `uptime` tell. The program's name may hold anything, parentheses too.
fn age_of(stat: &str, uptime: &str) -> Option<Duration> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let began: f64 = behind_name.split_whitespace().nth(19)?.parse().ok()?;
    let up: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "ticks in a second are few")]
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    Duration::try_from_secs_f64((up - began / ticks).max(0.0)).ok()
}

/// The owner of a process that does not let itself be read: its effective user, as a rule.
pub(crate) fn owner(pid: u32) -> Result<Option<u32>, Unreadable> {
    let path = PathBuf::from(format!("/proc/{pid}"));
    match fs::metadata(&path) {
        Ok(facts) => Ok(Some(facts.uid())),
        Err(error) => absent(path, error),
    }
}

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// Only these two say that a process is gone.
fn absent<T>(path: PathBuf, error: io::Error) -> Result<Option<T>, Unreadable> {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::SRCH) => Ok(None),
        _ => Err(Unreadable {
            path,
            source: error,
        }),
    }
}

/// Reads `status`: outside none when it makes no sense, inside none when the process is dead.
#[expect(clippy::option_option, reason = "senseless and dead are two answers")]
fn parse(text: &str) -> Option<Option<Facts>> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.map(str::trim)
    };
    let dead = matches!(value("State:")?.chars().next()?, 'Z' | 'X');
    // The first thread may be dead while others of the process live.
    if dead && value("Threads:")?.parse::<u32>().ok()? <= 1 {
        return Some(None);
    }
    let mut users = value("Uid:")?.split_whitespace().map(str::parse::<u32>);
    let mut next = || users.next()?.ok();
    Some(Some(Facts {
        name: value("Name:")?.to_owned(),
        parent: value("PPid:")?.parse().ok()?,
        users: [next()?, next()?, next()?, next()?],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tpostgres\nUmask:\t0077\nState:\tS (sleeping)\nTgid:\t7\nPid:\t7\nPPid:\t1\n\
                          Uid:\t10\t11\t12\t13\nGid:\t1\t1\t1\t1\nThreads:\t1\n";

    #[test]
    fn facts_of_a_process_are_read() {
        let own = facts(std::process::id()).expect("readable").expect("here");
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert_eq!(own.users[0], rustix::process::getuid().as_raw());
        assert_eq!(facts(u32::MAX).expect("readable"), None);
        assert!(all().expect("readable").contains(&std::process::id()));
        let users = parse(STATUS).expect("sense").expect("alive").users;
        assert_eq!(users, [10, 11, 12, 13]);
    }

    #[test]
    fn the_dead_are_told_from_those_whose_first_thread_is_dead() {
        let zombie = STATUS.replace("S (sleeping)", "Z (zombie)");
        assert_eq!(parse(&zombie), Some(None));
        let threaded = zombie.replace("Threads:\t1", "Threads:\t2");
        assert!(parse(&threaded).expect("sense").is_some());
        assert_eq!(parse("Name:\tx\n"), None);
    }

    #[test]
    fn a_process_has_an_age() {
        let begun = std::time::Instant::now();
        let mut child = crate::programs::command("sleep")
            .arg("60")
            .spawn()
            .expect("it runs");
        let young = age(child.id()).expect("readable").expect("here");
        assert!(young <= begun.elapsed() + Duration::from_millis(20));
        child.kill().expect("it ends");
        child.wait().expect("it ends");
        assert_eq!(age(child.id()).expect("readable"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 250 0 0";
        let ticks = rustix::param::clock_ticks_per_second();
        let told = age_of(stat, "10.00 3.00\n").expect("sense");
        assert_eq!(told.as_millis(), u128::from(10_000 - 250_000 / ticks));
    }

    #[test]
    fn a_proc_that_hides_processes_is_told() {
        let line = |options: &str| {
            format!(
                "1 0 0:1 / / rw - ext4 /dev/a rw\n22 1 0:20 / /proc rw,relatime - proc proc {options}\n"
            )
        };
        for hiding in ["rw,hidepid=2", "rw,gid=5,hidepid=invisible", "rw,hidepid=1"] {
            assert!(is_mounted_hiding(&line(hiding)), "{hiding}");
        }
        for open in ["rw", "rw,hidepid=0", "rw,hidepid=off"] {
            assert!(!is_mounted_hiding(&line(open)), "{open}");
        }
    }

    #[test]
    fn only_an_absent_process_is_absent() {
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ACCESS,
            Errno::PERM,
            Errno::NOMEM,
            Errno::IO,
        ] {
            let told = absent::<()>(PathBuf::from("/proc/1/cwd"), errno.into());
            assert!(told.is_err(), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::SRCH] {
            let told = absent::<()>(PathBuf::from("/proc/1/cwd"), errno.into());
            assert!(matches!(told, Ok(None)), "{errno}");
        }
    }
}
