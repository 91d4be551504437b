//! Shared memory that a server left because it was killed: the system keeps it until somebody
//! removes it, and has room for 4,096 segments. A server that starts removes its own; a cluster
//! that is deleted has no next start.
//!
//! It does not know why a server ended. What others hold, or another user owns, is left alone.
use std::{fs, io, os::unix::fs::MetadataExt, path::Path, process::Stdio};

use crate::{
    home::Home,
    hosting::{child::own_uid, processes::is_alone},
};

use super::process::read_lock_file;

/// The system's list of segments.
const SEGMENTS: &str = "/proc/sysvipc/shm";
/// Where segments lie that have names, and what PostgreSQL's begin with.
const NAMED: &str = "/dev/shm";
const PREFIX: &str = "PostgreSQL.";

/// What a cluster may have left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    /// Whose it is.
    user: u32,
    /// Nobody else's servers run as that user.
    is_alone: bool,
    /// The segment that the lock file names.
    segment: Option<u64>,
}

impl Left {
    /// Looks before the cluster's files go.
    pub(super) fn by(home: &Home) -> Self {
        let lock = read_lock_file(home).ok().flatten();
        Self {
            user: home.os_uid.unwrap_or_else(own_uid),
            is_alone: is_alone(home),
            segment: lock.and_then(|lock| lock.shared_memory),
        }
    }

    /// Removes it, once no process of the cluster's runs. What stays is told of in the log: nothing
    /// depends on it.
    pub(super) fn remove(self) {
        for done in [self.remove_segments(), self.remove_named(Path::new(NAMED))] {
            if let Err(error) = done {
                tracing::warn!(user = self.user, %error, "shared memory of a deleted cluster stays");
            }
        }
    }

    fn remove_segments(self) -> io::Result<()> {
        let listed = match fs::read_to_string(SEGMENTS) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            listed => listed?,
        };
        let ids = self.segments(&listed);
        if ids.is_empty() {
            return Ok(());
        }
        let mut command = crate::programs::command("ipcrm");
        for id in &ids {
            command.arg("-m").arg(id.to_string());
        }
        // One that went meanwhile is a fault of the program's only.
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null());
        silent.stderr(Stdio::null()).status().map(drop)
    }

    /// Of the system's list those that are the cluster's and that no process holds.
    fn segments(self, listed: &str) -> Vec<u64> {
        let rows = listed.lines().skip(1).filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let id: u64 = fields.next()?.parse().ok()?;
            let mut fields = fields.skip(4);
            let holders: u64 = fields.next()?.parse().ok()?;
            let user: u32 = fields.next()?.parse().ok()?;
            Some((id, holders, user))
        });
        rows.filter(|(id, holders, user)| {
            let is_ours = self.is_alone || self.segment == Some(*id);
            *holders == 0 && *user == self.user && is_ours
        })
        .map(|(id, ..)| id)
        .collect()
    }

    /// The names say nothing of the cluster: only the owner does.
    fn remove_named(self, folder: &Path) -> io::Result<()> {
        if !self.is_alone {
            return Ok(());
        }
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            match entry.metadata() {
                Ok(facts) if facts.is_file() && facts.uid() == self.user => {
                    fs::remove_file(entry.path())?;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "\
       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid
  54321001          3   600                    56   100   101      0  1700  1700  1700  1700
  54321002          4   600                    56   100   101      6  1700  1700  1700  1700
  54321003          5   600                    56   100   101      0  1700  1700  1700  1700
  54321004          6   600                    56   100   101      0  1701  1701  1701  1701
not a row
";

    #[test]
    fn what_others_hold_or_own_is_left_alone() {
        let left = |is_alone, segment| Left {
            user: 1_700,
            is_alone,
            segment,
        };
        assert_eq!(left(true, None).segments(LISTED), [3, 5]);
        assert_eq!(left(false, Some(5)).segments(LISTED), [5]);
        assert_eq!(left(false, None).segments(LISTED), [0_u64; 0]);
        for foreign in [4, 6, 7] {
            assert_eq!(left(false, Some(foreign)).segments(LISTED), [0_u64; 0]);
        }
    }

    #[test]
    fn named_memory_goes_by_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["PostgreSQL.1", "PostgreSQL.2", "other"] {
            fs::write(folder.path().join(name), "x").expect("writes");
        }
        let left = |user, is_alone| Left {
            user,
            is_alone,
            segment: None,
        };
        let names = || {
            let entries = fs::read_dir(folder.path()).expect("a list");
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        for stays in [left(own_uid() + 1, true), left(own_uid(), false)] {
            stays.remove_named(folder.path()).expect("looks");
            assert_eq!(names().len(), 3);
        }
        let ours = left(own_uid(), true);
        ours.remove_named(folder.path()).expect("removes");
        assert_eq!(names(), ["other"]);
        ours.remove_named(&folder.path().join("none"))
            .expect("nothing");
    }
}
