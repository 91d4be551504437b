//! The data folder: its place, its mode, its format, and the lock that keeps a second server out.
//!
//! It does not know what the files in it hold.
mod error;
mod private_files;

use std::{
    env, fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::{Pid, geteuid, test_kill_process},
};
use serde::{Deserialize, Serialize};
use service::Mode;

pub(crate) use error::DataDirError;
pub(crate) use private_files::{check_private, keep_private, rename_private, write_private};

/// The layout of the folder that this program writes and reads.
const FORMAT: u32 = 1;
/// Says what the folder is. Written once.
pub(super) const MARK: &str = "snapferry.toml";
/// Holds the id of the server that has the folder.
pub(super) const LOCK: &str = "lock";
/// How long locks of a server that is gone are waited for.
const LEFT_LOCK_WAIT: Duration = Duration::from_secs(5);
const LEFT_LOCK_POLL: Duration = Duration::from_millis(20);
/// Folders of clusters' files and sockets, which their users have to pass through.
const PASSED_THROUGH: [&str; 2] = ["clusters", "run"];
/// What is brought back to a new machine, beside its master key, before the first start there.
const BROUGHT_BACK: [&str; 4] = [MASTER_KEY, "vault", "node.toml", "credentials"];
/// The master key's file.
const MASTER_KEY: &str = "master.key";
/// Files of a file system itself, which do not make a folder another program's.
const NOT_CONTENT: [&str; 1] = ["lost+found"];

/// The first lines of every folder, so that who finds one knows what it is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    format: u32,
    mode: MarkMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MarkMode {
    Closed,
    Dev,
}

impl From<Mode> for MarkMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Closed => Self::Closed,
            Mode::Dev => Self::Dev,
        }
    }
}

impl From<MarkMode> for Mode {
    fn from(mode: MarkMode) -> Self {
        match mode {
            MarkMode::Closed => Self::Closed,
            MarkMode::Dev => Self::Dev,
        }
    }
}

/// The locks of a folder's holder; closed on exec, so no cluster inherits them.
struct Locks {
    /// On the folder itself, which nobody can delete or put another in the place of.
    _folder: File,
    /// On the file `lock`, by which earlier versions keep out and are kept out.
    _file: File,
}

/// A data folder that is Snapferry's.
pub(crate) struct DataDir {
    path: PathBuf,
    mode: Mode,
    /// Held for as long as a server has the folder.
    _lock: Option<Locks>,
}

impl fmt::Debug for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataDir")
            .field("path", &self.path)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl DataDir {
    /// Makes the folder if it is missing, and takes it for one server.
    ///
    /// # Errors
    /// When it cannot be made or written, is another program's, of another mode or of a newer
    /// format, or another server has it.
    pub(crate) fn acquire(path: &Path, mode: Mode) -> Result<Self, DataDirError> {
        let path =
            std::path::absolute(path).map_err(|source| DataDirError::io("find", path, source))?;
        make_folder(&path)?;
        let path =
            fs::canonicalize(&path).map_err(|source| DataDirError::io("find", &path, source))?;
        match read_mark(&path)? {
            Some(mark) => check_mode(&path, mark, mode)?,
            None => refuse_foreign(&path)?,
        }
        let lock = lock(&path)?;
        for within in PASSED_THROUGH {
            make_folder(&path.join(within))?;
        }
        // Read again now that no other server can be writing it.
        match read_mark(&path)? {
            Some(mark) => check_mode(&path, mark, mode)?,
            None => write_mark(&path, mode)?,
        }
        Ok(Self {
            path,
            mode,
            _lock: Some(lock),
        })
    }

    /// Looks at a folder that may be in use by a server.
    ///
    /// # Errors
    /// When it is no data folder, or cannot be read.
    pub(crate) fn attach(path: &Path) -> Result<Self, DataDirError> {
        let canonical = fs::canonicalize(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => DataDirError::NotThere(path.to_owned()),
            _ => DataDirError::io("read", path, source),
        })?;
        let mark = read_mark(&canonical)?.ok_or_else(|| DataDirError::NotThere(path.to_owned()))?;
        Ok(Self {
            path: canonical,
            mode: mark.mode.into(),
            _lock: None,
        })
    }

    /// The process of the server that has the folder, if that one lives.
    pub(crate) fn holder(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path.join(LOCK)).ok()?;
        let pid: u32 = text.trim().parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        name.starts_with("snapferry").then_some(pid)
    }

    /// The folder, absolute and without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Who may ask a server on this folder.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The SQLite file of the catalog.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.path.join("catalog.sqlite")
    }

    /// The folder with the records of requests.
    pub(crate) fn audit(&self) -> PathBuf {
        self.path.join("audit")
    }

    /// The name of the node that has this folder.
    pub(crate) fn node(&self) -> PathBuf {
        self.path.join("node.toml")
    }

    /// The master key, unless it is given from outside.
    pub(crate) fn master_key(&self) -> PathBuf {
        self.path.join(MASTER_KEY)
    }

    /// The master key that is to take the other's place, while it does.
    pub(crate) fn next_master_key(&self) -> PathBuf {
        self.path.join("master.key.next")
    }

    /// The first administrator's access key.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.path.join("credentials")
    }

    /// The folder with each cluster's files, by its resource id.
    pub(crate) fn clusters(&self) -> PathBuf {
        self.path.join("clusters")
    }

    /// The folder with each region's vault, by the region's name.
    pub(crate) fn vaults(&self) -> PathBuf {
        self.path.join("vault")
    }
}

/// Where data goes when nothing is said.
///
/// # Errors
/// When the user has no home folder.
pub(crate) fn default_path(mode: Mode) -> Result<PathBuf, DataDirError> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path: &PathBuf| path.is_absolute())
    };
    let name = match mode {
        Mode::Closed => "snapferry",
        Mode::Dev => "snapferry-dev",
    };
    let above = if geteuid().is_root() {
        PathBuf::from("/var/lib")
    } else {
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .ok_or(DataDirError::NoHome)?
    };
    Ok(above.join(name))
}

/// As root, clusters run as other users that have to pass through; else nobody else has to.
fn folder_mode() -> u32 {
    if geteuid().is_root() { 0o711 } else { 0o700 }
}

fn make_folder(path: &Path) -> Result<(), DataDirError> {
    let existed = path
        .try_exists()
        .map_err(|source| DataDirError::io("look at", path, source))?;
    DirBuilder::new()
        .recursive(true)
        .mode(folder_mode())
        .create(path)
        .map_err(|source| DataDirError::io("make", path, source))?;
    if !existed {
        // The process's mask may have taken away what cluster users need.
        fs::set_permissions(path, fs::Permissions::from_mode(folder_mode()))
            .map_err(|source| DataDirError::io("make", path, source))?;
    }
    Ok(())
}

fn refuse_foreign(path: &Path) -> Result<(), DataDirError> {
    let entries = fs::read_dir(path).map_err(|source| DataDirError::io("read", path, source))?;
    let brought_back = path
        .join(MASTER_KEY)
        .try_exists()
        .map_err(|source| DataDirError::io("look at", path, source))?;
    for entry in entries {
        let name = entry
            .map_err(|source| DataDirError::io("read", path, source))?
            .file_name();
        // A first start that was cut short leaves its lock, empty folders, or half a mark.
        let ours = name == LOCK
            || PASSED_THROUGH.iter().any(|within| name == *within)
            || (brought_back && BROUGHT_BACK.iter().any(|known| name == *known))
            || name.to_string_lossy().starts_with(MARK);
        if !ours && !NOT_CONTENT.iter().any(|known| name == *known) {
            return Err(DataDirError::Foreign(path.to_owned()));
        }
    }
    Ok(())
}

fn read_mark(path: &Path) -> Result<Option<Mark>, DataDirError> {
    let mark = path.join(MARK);
    let text = match fs::read_to_string(&mark) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DataDirError::io("read", &mark, source)),
    };
    // Only the format is read first: a newer one may have more to say.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |source| DataDirError::Mark {
        path: mark.clone(),
        source: Box::new(source),
    };
    let Format { format } = toml::from_str(&text).map_err(damaged)?;
    if FORMAT < format {
        return Err(DataDirError::NewerFormat {
            path: path.to_owned(),
            format,
            known: FORMAT,
        });
    }
    toml::from_str(&text).map(Some).map_err(damaged)
}

fn write_mark(path: &Path, mode: Mode) -> Result<(), DataDirError> {
    let mode = match MarkMode::from(mode) {
        MarkMode::Closed => "closed",
        MarkMode::Dev => "dev",
    };
    let text = format!(
        "# Snapferry's data folder. Written once; do not change it.\nformat = {FORMAT}\nmode = \"{mode}\"\n"
    );
    write_private(&path.join(MARK), text.as_bytes())
}

fn check_mode(path: &Path, mark: Mark, mode: Mode) -> Result<(), DataDirError> {
    if mark.mode == mode.into() {
        return Ok(());
    }
    Err(DataDirError::OtherMode {
        path: path.to_owned(),
        dev: mark.mode == MarkMode::Dev,
    })
}

/// Locks a data folder. A server that was killed is waited for: what it was about to begin holds its
/// locks for the moment that its program takes to be loaded.
fn lock(path: &Path) -> Result<Locks, DataDirError> {
    let end = Instant::now() + LEFT_LOCK_WAIT;
    loop {
        match try_lock(path) {
            Err(DataDirError::Locked { pid: Some(pid), .. })
                if is_gone(pid) && Instant::now() < end =>
            {
                thread::sleep(LEFT_LOCK_POLL);
            }
            tried => return tried,
        }
    }
}

/// Whether no process has this number.
fn is_gone(pid: u32) -> bool {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    number.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

fn try_lock(path: &Path) -> Result<Locks, DataDirError> {
    let folder = File::open(path).map_err(|source| DataDirError::io("lock", path, source))?;
    let locked = match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        // Some network file systems lock only files that are written.
        Err(errno @ (Errno::BADF | Errno::INVAL | Errno::NOTSUP | Errno::NOLCK)) => {
            tracing::warn!(path = %path.display(), %errno, "the data folder itself cannot be locked: its file lock must stay where it is");
            Ok(())
        }
        other => other,
    };
    let at = path.join(LOCK);
    if let Err(errno) = locked {
        let holder = File::open(&at).ok();
        return Err(refused(path, errno, holder.as_ref()));
    }
    let wrong = |source| DataDirError::io("lock", &at, source);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&at)
        .map_err(wrong)?;
    if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        return Err(refused(path, errno, Some(&file)));
    }
    let taken = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .and_then(|()| file.flush());
    taken.map_err(wrong)?;
    Ok(Locks {
        _folder: folder,
        _file: file,
    })
}

/// Why a lock was not had; `holder` is the file that says who has it.
fn refused(path: &Path, errno: Errno, holder: Option<&File>) -> DataDirError {
    if errno != Errno::WOULDBLOCK {
        return DataDirError::io("lock", path, errno.into());
    }
    let mut text = String::new();
    if let Some(file) = holder {
        // Who holds it is a courtesy; that it is held is what counts.
        let _ = file.take(32).read_to_string(&mut text);
    }
    DataDirError::Locked {
        path: path.to_owned(),
        pid: text.trim().parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_folder_remembers_its_mode() {
        let above = tempfile::tempdir().expect("a folder");
        let path = above.path().join("a/b");
        for (mode, other) in [(Mode::Closed, Mode::Dev), (Mode::Dev, Mode::Closed)] {
            drop(DataDir::acquire(&path, mode).expect("new"));
            drop(DataDir::acquire(&path, mode).expect("again"));
            assert!(matches!(
                DataDir::acquire(&path, other),
                Err(DataDirError::OtherMode { .. })
            ));
            assert_eq!(DataDir::attach(&path).expect("there").mode(), mode);
            assert_eq!(
                fs::metadata(&path).expect("there").mode() & 0o777,
                folder_mode()
            );
            engine::remove_tree(&path).expect("removed");
        }
        assert!(matches!(
            DataDir::attach(&path),
            Err(DataDirError::NotThere(_))
        ));
    }

    #[test]
    fn a_second_server_is_refused_and_the_first_named() {
        let above = tempfile::tempdir().expect("a folder");
        let first = DataDir::acquire(above.path(), Mode::Closed).expect("free");
        match DataDir::acquire(above.path(), Mode::Closed) {
            Err(DataDirError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        assert!(DataDir::attach(above.path()).is_ok());
        drop(first);
        assert!(DataDir::acquire(above.path(), Mode::Closed).is_ok());
    }

    #[test]
    fn the_locks_of_a_server_that_is_gone_are_waited_for() {
        let above = tempfile::tempdir().expect("a folder");
        let path = above.path();
        let first = DataDir::acquire(path, Mode::Closed).expect("free");
        // No process has a number above the system's largest.
        fs::write(path.join(LOCK), "4194305\n").expect("replaced");
        let waits = Duration::from_millis(300);
        let began = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(waits);
                drop(first);
            });
            assert!(DataDir::acquire(path, Mode::Closed).is_ok());
        });
        assert!(waits <= began.elapsed());
    }

    #[test]
    fn a_lock_that_was_deleted_or_replaced_lets_nobody_in() {
        let above = tempfile::tempdir().expect("a folder");
        let path = above.path();
        let _first = DataDir::acquire(path, Mode::Closed).expect("free");
        let refused = || {
            let second = DataDir::acquire(path, Mode::Closed);
            matches!(second, Err(DataDirError::Locked { .. }))
        };
        fs::remove_file(path.join(LOCK)).expect("deleted");
        assert!(refused(), "deleted");
        fs::write(path.join(LOCK), "1\n").expect("replaced");
        assert!(refused(), "replaced");
        fs::remove_file(path.join(LOCK)).expect("deleted");
        std::os::unix::fs::symlink("/dev/null", path.join(LOCK)).expect("replaced");
        assert!(refused(), "replaced by a link");
    }

    #[test]
    fn folders_of_others_are_left_alone() {
        let above = tempfile::tempdir().expect("a folder");
        fs::create_dir(above.path().join("lost+found")).expect("made");
        assert!(DataDir::acquire(above.path(), Mode::Closed).is_ok());
        let other = tempfile::tempdir().expect("a folder");
        fs::write(other.path().join("letter.txt"), "dear").expect("written");
        assert!(matches!(
            DataDir::acquire(other.path(), Mode::Closed),
            Err(DataDirError::Foreign(_))
        ));
        assert!(fs::symlink_metadata(other.path().join(LOCK)).is_err());
        let moved = tempfile::tempdir().expect("a folder");
        fs::create_dir(moved.path().join("vault")).expect("made");
        assert!(DataDir::acquire(moved.path(), Mode::Closed).is_err());
        fs::write(moved.path().join(MASTER_KEY), "").expect("written");
        assert!(DataDir::acquire(moved.path(), Mode::Closed).is_ok());
    }

    #[test]
    fn a_newer_format_is_refused_in_words() {
        let above = tempfile::tempdir().expect("a folder");
        fs::write(
            above.path().join(MARK),
            "format = 2\nmode = \"closed\"\nmore = 1\n",
        )
        .expect("written");
        let error = DataDir::acquire(above.path(), Mode::Closed).expect_err("newer");
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}
