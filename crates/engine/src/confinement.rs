//! What one cluster's processes may take of the machine, and what holds them to it: a control group of
//! the kernel's (cgroup v2) where this process may make one, else limits of each process.
//!
//! It knows no particular database.
use std::{
    ffi::OsString,
    fmt, fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rustix::io::Errno;

/// Where util-linux has the program that runs another one under limits.
const PRLIMIT: [&str; 2] = ["/usr/bin/prlimit", "/bin/prlimit"];
/// What a group must be able to bound.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// The group beside the clusters' that this process goes into: one that is divided has no processes of
/// its own. systemd makes it when the unit says `DelegateSubgroup=server`.
const OWN: &str = "server";
/// Names of clusters' groups begin so.
const PREFIX: &str = "cluster-";

/// What one cluster's processes may take; none: what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory, bytes: of all of them together in a control group, else of each.
    pub memory_bytes_max: Option<u64>,
    /// Processes and threads.
    pub processes_max: Option<u64>,
}

/// What holds clusters to their limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Confinement {
    /// Nothing: there are no limits but those that this process has itself.
    #[default]
    Nothing,
    /// A control group for each cluster, in this folder.
    Groups {
        /// The group that they are parts of.
        above: PathBuf,
        /// What each may take.
        limits: Limits,
    },
    /// Limits that each process gets by a program at its beginning; the number of processes is bounded by
    /// what this process itself may have and hands on (`RLIMIT_NPROC`).
    EachProcess {
        /// The program.
        prlimit: PathBuf,
        /// Bytes of a process's own memory, what it shares with others left out.
        memory_bytes_max: u64,
    },
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Groups { above, .. } => write!(f, "control groups in {}", above.display()),
            Self::EachProcess { .. } => f.write_str("limits of each process"),
        }
    }
}

/// Why there are no control groups for clusters.
#[derive(Debug, thiserror::Error)]
pub enum NoGroups {
    /// The machine has none of this kind, or does not show them.
    #[error("no control groups of version 2 are mounted")]
    NotMounted,
    /// Other hierarchies have the controllers.
    #[error("{0:?} has no memory and pids controllers")]
    NoControllers(PathBuf),
    /// systemd keeps the group to itself.
    #[error(
        "the group {0:?} is systemd's: give the unit Delegate=memory pids and DelegateSubgroup={OWN} (systemd 254)"
    )]
    NotDelegated(PathBuf),
    /// A file of a group cannot be read or written.
    #[error("cannot use {path:?}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Confinement {
    /// Finds what can hold clusters to these limits; without control groups also says why.
    pub fn of(limits: Limits) -> (Self, Option<NoGroups>) {
        if limits == Limits::default() {
            return (Self::Nothing, None);
        }
        let why = match divide() {
            Ok(above) => return (Self::Groups { above, limits }, None),
            Err(why) => why,
        };
        let prlimit = PRLIMIT
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.try_exists().is_ok_and(|is_there| is_there));
        let each = match (limits.memory_bytes_max, prlimit) {
            (Some(memory_bytes_max), Some(prlimit)) => Self::EachProcess {
                prlimit,
                memory_bytes_max,
            },
            _ => Self::Nothing,
        };
        (each, Some(why))
    }

    /// The words before a program's own that begin it under limits.
    pub(crate) fn words(&self) -> Vec<OsString> {
        match self {
            Self::EachProcess {
                prlimit,
                memory_bytes_max,
            } => vec![
                prlimit.clone().into(),
                format!("--data={memory_bytes_max}").into(),
            ],
            Self::Nothing | Self::Groups { .. } => Vec::new(),
        }
    }

    /// Puts processes into a cluster's group, with the limits that are in effect by now. What they begin
    /// from then on is in it as well.
    ///
    /// # Errors
    /// When the group cannot be made or entered.
    pub(crate) fn place(&self, cluster: &str, pids: &[u32]) -> Result<(), NoGroups> {
        let Self::Groups { above, limits } = self else {
            return Ok(());
        };
        let group = above.join(format!("{PREFIX}{cluster}"));
        match fs::create_dir(&group) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed(&group, error));
            }
            _ => {}
        }
        bound(&group.join("memory.max"), limits.memory_bytes_max)?;
        bound(&group.join("pids.max"), limits.processes_max)?;
        if limits.memory_bytes_max.is_some() {
            // What is bounded does not go on in the swap. A kernel without swap has no such file.
            let swap = group.join("memory.swap.max");
            match write(&swap, "0") {
                Err(NoGroups::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        let entry = group.join("cgroup.procs");
        for pid in pids {
            match write(&entry, &pid.to_string()) {
                // It is gone.
                Err(NoGroups::Io { source, .. })
                    if Errno::from_io_error(&source) == Some(Errno::SRCH) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Removes the group of a cluster that has no process any more.
    pub(crate) fn release(&self, cluster: &str) {
        if let Self::Groups { above, .. } = self {
            let group = above.join(format!("{PREFIX}{cluster}"));
            match fs::remove_dir(&group) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::debug!(group = %group.display(), %error, "a cluster's control group stays");
                }
                _ => {}
            }
        }
    }
}

fn failed(path: &Path, source: io::Error) -> NoGroups {
    NoGroups::Io {
        path: path.to_owned(),
        source,
    }
}

fn read(path: &Path) -> Result<String, NoGroups> {
    fs::read_to_string(path).map_err(|error| failed(path, error))
}

fn is_there(path: &Path) -> Result<bool, NoGroups> {
    path.try_exists().map_err(|error| failed(path, error))
}

/// Such files are written at one stroke, and never made.
fn write(path: &Path, text: &str) -> Result<(), NoGroups> {
    use io::Write;
    let written = fs::OpenOptions::new().write(true).open(path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| failed(path, error))
}

/// Writes a bound. Where there is none, a kernel that has no such file does not need it.
fn bound(file: &Path, most: Option<u64>) -> Result<(), NoGroups> {
    match most {
        Some(most) => write(file, &most.to_string()),
        None => match write(file, "max") {
            Err(NoGroups::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        },
    }
}

/// Makes this process's group, or the one above it, one that can be divided among clusters; answers it.
fn divide() -> Result<PathBuf, NoGroups> {
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let own = own_group(&mounts, &groups).ok_or(NoGroups::NotMounted)?;
    let above = match own.file_name() {
        Some(name) if name == OWN => own.parent().unwrap_or(&own).to_owned(),
        _ => own.clone(),
    };
    let offered = read(&above.join("cgroup.controllers"))?;
    let offered: Vec<&str> = offered.split_whitespace().collect();
    if !CONTROLLERS.iter().all(|one| offered.contains(one)) {
        return Err(NoGroups::NoControllers(above));
    }
    if is_there(Path::new("/run/systemd/system"))? && (own == above || !is_delegated(&above)) {
        return Err(NoGroups::NotDelegated(above));
    }
    // The root of all groups may have processes beside its parts; it alone has no type.
    if own == above && is_there(&above.join("cgroup.type"))? {
        let server = above.join(OWN);
        match fs::create_dir(&server) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(failed(&server, error));
            }
            _ => {}
        }
        write(
            &server.join("cgroup.procs"),
            &std::process::id().to_string(),
        )?;
    }
    let wanted = CONTROLLERS.map(|one| format!("+{one}")).join(" ");
    write(&above.join("cgroup.subtree_control"), &wanted)?;
    Ok(above)
}

/// Whether systemd has given a group away.
fn is_delegated(group: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(group, *name, &mut value[..]);
        length.is_ok_and(|length| value.get(..length) == Some(b"1".as_slice()))
    })
}

/// The folder of this process's group, from what `/proc/self` says of mounts and of groups.
fn own_group(mounts: &str, groups: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        let below = Path::new(own).strip_prefix(root).ok()?;
        Some(match below.as_os_str().is_empty() {
            true => PathBuf::from(at),
            false => Path::new(at).join(below),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "25 1 0:21 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let at = |mounts: &str, groups: &str| own_group(mounts, groups);
        let unit = "0::/system.slice/snapferry.service/server\n";
        assert_eq!(
            at(UNIFIED, unit),
            Some("/sys/fs/cgroup/system.slice/snapferry.service/server".into())
        );
        // In a container with a part of the hierarchy.
        let part = UNIFIED.replace(" / /sys", " /docker/x /sys");
        assert_eq!(at(&part, "0::/docker/x\n"), Some("/sys/fs/cgroup".into()));
        assert_eq!(at(&part, "0::/elsewhere\n"), None);
        // Version 1 alone.
        let old = "30 1 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
        assert_eq!(at(old, "8:pids:/\n0::/\n"), None);
        assert_eq!(at(UNIFIED, "8:pids:/\n"), None);
    }

    #[test]
    fn a_group_gets_its_limits_before_its_processes() {
        let above = tempfile::tempdir().expect("a folder");
        let limits = Limits {
            memory_bytes_max: Some(1 << 28),
            processes_max: None,
        };
        let groups = Confinement::Groups {
            above: above.path().to_owned(),
            limits,
        };
        let group = above.path().join("cluster-a");
        // The kernel makes a group's files with it; here they are missing, which is told.
        let error = groups.place("a", &[7]).expect_err("no such file");
        assert!(error.to_string().contains("memory.max"), "{error}");
        for file in ["memory.max", "pids.max", "cgroup.procs"] {
            fs::write(group.join(file), "").expect("a file");
        }
        groups.place("a", &[7]).expect("it is placed");
        let said = |file: &str| fs::read_to_string(group.join(file)).expect("it is there");
        assert_eq!(said("memory.max"), (1 << 28).to_string());
        assert_eq!(
            (said("pids.max"), said("cgroup.procs")),
            ("max".to_owned(), "7".to_owned())
        );
    }

    #[test]
    fn processes_enter_a_real_group_and_leave_an_empty_one() {
        // Placing takes a mounted hierarchy that may be written, if without these controllers.
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it reads");
        let groups = fs::read_to_string("/proc/self/cgroup").expect("it reads");
        let Some(own) = own_group(&mounts, &groups) else {
            return;
        };
        let group = own.join(format!("snapferry-test-{}", std::process::id()));
        if fs::create_dir(&group).is_err() {
            return;
        }
        let mut child = crate::programs::command("sleep")
            .arg("60")
            .spawn()
            .expect("it runs");
        write(&group.join("cgroup.procs"), &child.id().to_string()).expect("it enters");
        let inside = read(&group.join("cgroup.procs")).expect("it reads");
        child.kill().expect("it ends");
        child.wait().expect("it ends");
        assert_eq!(inside.trim(), child.id().to_string());
        fs::remove_dir(&group).expect("it is empty");
    }

    #[test]
    fn without_limits_nothing_is_done() {
        assert_eq!(Confinement::of(Limits::default()).0, Confinement::Nothing);
        assert!(Confinement::Nothing.words().is_empty());
        Confinement::Nothing.place("a", &[1]).expect("nothing");
    }
}
