//! Numbers of OS users, claimed for the whole machine: two clusters with one user could read each
//! other's files and end each other's servers, whatever deployments they are of.
//!
//! All deployments of a machine share one folder. A number that was claimed is never claimed again,
//! so neither a kill nor an older catalog brings it back. It does not know whose a number is.
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    io::{self, ErrorKind, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{capabilities::Lacking, proc};

/// The first OS user id for clusters: systemd's list of user ids has this range as unused.
pub const FIRST_OS_USER: u32 = 1_879_048_192;
/// The last one of that range.
const LAST_OS_USER: u32 = 2_147_483_645;
/// How long another deployment may hold the folder.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Why no number could be claimed, or none be looked up.
#[derive(Debug, thiserror::Error)]
pub enum OsUsersError {
    /// The machine's folder, or a file in it, cannot be used.
    #[error(
        "cannot {doing} {path:?}, where all deployments of this machine claim their clusters' OS users{lacking}"
    )]
    Io {
        /// What was wanted.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// The rights that this process lacks.
        lacking: Lacking,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process holds the folder.
    #[error(
        "another process holds {0:?}, where all deployments of this machine claim their clusters' OS users"
    )]
    Held(PathBuf),
    /// The next number does not read.
    #[error(
        "{0:?} should hold a number, the next OS user to claim: write one there that no cluster of this machine has yet"
    )]
    Garbled(PathBuf),
    /// What has which user could not be read.
    #[error("it cannot be told which OS users are in use, because {path:?} cannot be read")]
    CannotTell {
        /// What could not be read.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No number is left.
    #[error("all OS users up to {LAST_OS_USER} are used up")]
    UsedUp,
}

/// A number that more than one cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedUser {
    /// The number.
    pub uid: u32,
    /// The data folders of the clusters that have it.
    pub folders: Vec<PathBuf>,
}

/// Whether a write waits until it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    ForTheDisk,
    No,
}

/// The claims of this machine.
#[derive(Debug, Clone)]
pub struct OsUsers {
    folder: PathBuf,
}

impl OsUsers {
    /// Claims that lie in a folder; it is made when it is first needed.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Makes a deployment's clusters known to the others, and its numbers (those of its catalog and
    /// those of its files) claimed. Answers which of its clusters share a number with another one.
    /// Blocks.
    ///
    /// # Errors
    /// When the machine's folder or the clusters' cannot be read or written.
    pub fn enter(
        &self,
        clusters: &Path,
        of_catalog: &[u32],
    ) -> Result<Vec<SharedUser>, OsUsersError> {
        let _held = self.lock()?;
        let mut folders = self.folders()?;
        let known = folders.len();
        folders.retain(|folder| folder != clusters);
        let own = owners(clusters)?;
        let others = all_owners(&folders)?;
        folders.push(clusters.to_owned());
        // Not awaited: a list that a power cut takes is whole again at each deployment's next start.
        if known < folders.len() {
            self.replace("folders", &join(&folders), Wait::No)?;
        }
        let highest = own.keys().chain(of_catalog).chain(others.keys()).max();
        let before = self.next()?;
        let next = before.unwrap_or(FIRST_OS_USER);
        let next = highest.map_or(next, |highest| next.max(highest.saturating_add(1)));
        if before != Some(next) {
            self.replace("next", next.to_string().as_bytes(), Wait::ForTheDisk)?;
        }
        let shared = own.into_iter().map(|(uid, mut folders)| {
            folders.extend(others.get(&uid).into_iter().flatten().cloned());
            SharedUser { uid, folders }
        });
        Ok(shared.filter(|one| 1 < one.folders.len()).collect())
    }

    /// Claims a number, durably: above `used`, above every number that was claimed before, and one
    /// that no process and no cluster's folder has. Blocks.
    ///
    /// # Errors
    /// When that cannot be told, or the claim not be written.
    pub fn claim(&self, used: Option<u32>) -> Result<u32, OsUsersError> {
        let _held = self.lock()?;
        let mut taken = living()?;
        let next = match self.next()? {
            Some(next) => next,
            // The first claim, or the file was lost: the files of clusters tell.
            None => {
                taken.extend(all_owners(&self.folders()?)?.into_keys());
                FIRST_OS_USER
            }
        };
        let least = next.max(used.map_or(FIRST_OS_USER, |used| used.saturating_add(1)));
        let free = (least..=LAST_OS_USER).find(|number| !taken.contains(number));
        let free = free.ok_or(OsUsersError::UsedUp)?;
        let next = (free + 1).to_string();
        self.replace("next", next.as_bytes(), Wait::ForTheDisk)?;
        Ok(free)
    }

    /// Whether a number is, or was, that of a cluster of this machine. Blocks.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn is_claimed(&self, uid: u32) -> Result<bool, OsUsersError> {
        if !is_cluster_user(uid) {
            return Ok(false);
        }
        match self.next()? {
            Some(next) => Ok(uid < next),
            None => Ok(!self.clusters_of(uid)?.is_empty()),
        }
    }

    /// The folders of the clusters that have a number, of all deployments. Blocks.
    ///
    /// # Errors
    /// When they cannot be told.
    pub fn clusters_of(&self, uid: u32) -> Result<Vec<PathBuf>, OsUsersError> {
        Ok(all_owners(&self.folders()?)?
            .remove(&uid)
            .unwrap_or_default())
    }

    fn lock(&self) -> Result<fs::File, OsUsersError> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        made.map_err(|error| self.failed("make", self.folder.clone(), error))?;
        let path = self.folder.join("lock");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options
            .open(&path)
            .map_err(|error| self.failed("open", path.clone(), error))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) if deadline < Instant::now() => {
                    return Err(OsUsersError::Held(path));
                }
                Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_POLL),
                Err(fs::TryLockError::Error(error)) => return Err(self.failed("lock", path, error)),
            }
        }
    }

    fn next(&self) -> Result<Option<u32>, OsUsersError> {
        let path = self.folder.join("next");
        match fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse() {
                Ok(next) => Ok(Some(next)),
                Err(_) => Err(OsUsersError::Garbled(path)),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(OsUsersError::Garbled(path))
            }
            Err(error) => Err(self.failed("read", path, error)),
        }
    }

    /// The clusters' folders of all deployments that ever started here and are still there.
    fn folders(&self) -> Result<Vec<PathBuf>, OsUsersError> {
        let path = self.folder.join("folders");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("read", path, error)),
        };
        let names = bytes
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty());
        let known = names.map(|name| PathBuf::from(OsString::from_vec(name.to_vec())));
        Ok(known
            .filter(|folder| match fs::symlink_metadata(folder) {
                Ok(_) => true,
                Err(error) => error.kind() != ErrorKind::NotFound,
            })
            .collect())
    }

    /// Writes a file as a whole or not at all.
    fn replace(&self, name: &str, bytes: &[u8], wait: Wait) -> Result<(), OsUsersError> {
        let (beside, path) = (
            self.folder.join(format!("{name}.new")),
            self.folder.join(name),
        );
        let written = || {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&beside)?;
            file.write_all(bytes)?;
            if wait == Wait::No {
                return fs::rename(&beside, &path);
            }
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        written().map_err(|error| self.failed("write", path.clone(), error))
    }

    fn failed(&self, doing: &'static str, path: PathBuf, source: io::Error) -> OsUsersError {
        OsUsersError::Io {
            doing,
            path,
            lacking: crate::capabilities::explain(&source),
            source,
        }
    }
}

fn join(folders: &[PathBuf]) -> Vec<u8> {
    let names = folders.iter().map(|folder| folder.as_os_str().as_bytes());
    names.collect::<Vec<_>>().join(&0)
}

/// The numbers of clusters' users that processes run as.
fn living() -> Result<BTreeSet<u32>, OsUsersError> {
    let cannot_tell = |error: proc::Unreadable| OsUsersError::CannotTell {
        path: error.path,
        source: error.source,
    };
    let mut found = BTreeSet::new();
    for pid in proc::all().map_err(cannot_tell)? {
        let users = match proc::facts(pid) {
            Ok(facts) => facts.map_or(Vec::new(), |facts| facts.users.to_vec()),
            // One that does not let itself be read: its owner is known still.
            Err(_) => proc::owner(pid).map_err(cannot_tell)?.into_iter().collect(),
        };
        found.extend(users.into_iter().filter(|uid| is_cluster_user(*uid)));
    }
    Ok(found)
}

pub(crate) fn is_cluster_user(uid: u32) -> bool {
    (FIRST_OS_USER..=LAST_OS_USER).contains(&uid)
}

type Owners = BTreeMap<u32, Vec<PathBuf>>;

fn all_owners(folders: &[PathBuf]) -> Result<Owners, OsUsersError> {
    let mut all = Owners::new();
    for folder in folders {
        for (uid, paths) in owners(folder)? {
            all.entry(uid).or_default().extend(paths);
        }
    }
    Ok(all)
}

/// Which users the clusters below a folder have, by the owners of their data folders
/// (`<cluster>/<attempt>/data`); one cluster counts once.
fn owners(clusters: &Path) -> Result<Owners, OsUsersError> {
    let mut found = Owners::new();
    for cluster in entries(clusters)? {
        let mut of_cluster = BTreeSet::new();
        for attempt in entries(&cluster)? {
            let data = attempt.join("data");
            match fs::symlink_metadata(&data) {
                Ok(facts) => {
                    of_cluster.extend(Some(facts.uid()).filter(|uid| is_cluster_user(*uid)))
                }
                Err(error) if is_absent(&error) => {}
                Err(source) => return Err(OsUsersError::CannotTell { path: data, source }),
            }
        }
        for uid in of_cluster {
            found.entry(uid).or_default().push(cluster.clone());
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, OsUsersError> {
    let failed = |source| OsUsersError::CannotTell {
        path: folder.to_owned(),
        source,
    };
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| Ok(entry.map_err(failed)?.path()))
            .collect(),
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_claimed_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let claim = || {
            let users = OsUsers::at(folder.path().join("users"));
            (0..20)
                .map(|_| users.claim(None).expect("a number"))
                .collect::<Vec<_>>()
        };
        let mut all: Vec<u32> = thread::scope(|scope| {
            let claims: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
            claims
                .into_iter()
                .flat_map(|one| one.join().expect("no panic"))
                .collect()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 80);
        // Nor one that the catalog has used.
        let last = all.last().copied();
        let users = OsUsers::at(folder.path().join("users"));
        let far = last.map(|last| last + 1_000);
        assert!(far < Some(users.claim(far).expect("a number")));
    }

    #[test]
    fn what_files_have_is_never_claimed() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let users = OsUsers::at(folder.path().join("users"));
        let first = users.claim(None).expect("a number");
        let made = |deployment: &str, uid: u32| {
            let clusters = folder.path().join(deployment);
            let data = clusters.join("cluster-a/try-1/data");
            fs::create_dir_all(&data).expect("a folder");
            std::os::unix::fs::chown(&data, Some(uid), Some(uid)).expect("an owner");
            clusters
        };
        let (a, b) = (made("a", first + 50), made("b", first + 50));
        assert_eq!(users.enter(&a, &[first + 7]).expect("enters"), []);
        let shared = users.enter(&b, &[]).expect("enters");
        assert_eq!(shared.len(), 1, "{shared:?}");
        assert_eq!(shared[0].uid, first + 50);
        assert_eq!(
            shared[0].folders,
            [b.join("cluster-a"), a.join("cluster-a")]
        );
        assert_eq!(users.claim(None).expect("a number"), first + 51);
        // Also when the number was lost: the files tell.
        fs::remove_file(folder.path().join("users/next")).expect("gone");
        assert_ne!(users.claim(Some(first + 49)).expect("a number"), first + 50);
    }

    #[test]
    fn a_garbled_number_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let users = OsUsers::at(folder.path());
        fs::write(folder.path().join("next"), b"\xff").expect("a file");
        assert!(matches!(users.claim(None), Err(OsUsersError::Garbled(_))));
        fs::write(folder.path().join("next"), b"").expect("a file");
        assert!(matches!(users.claim(None), Err(OsUsersError::Garbled(_))));
    }
}
