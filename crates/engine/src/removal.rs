//! Removal of a folder and all that is in it, however deep and wide: with a handful of
//! descriptors, little memory and no recursion, and never through a link.
//!
//! A folder inside another one is moved up beside it before it is emptied, so that none is ever
//! deep. It does not know whose the files are; who may still write there is ended before.
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    ffi::CStr,
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
};

/// How often a folder that was emptied may have got new entries before that is an error.
const REFILLS_MAX: u32 = 100;

/// The tree's root, as a folder in itself.
const ROOT: &CStr = c".";

const INTO: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("{path:?}")]
pub struct RemovalError {
    /// The tree, and the name in it.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// Removes a file, a link, or a folder with all that is in it. What is not there is removed.
///
/// Takes five descriptors, and no more memory for a larger tree. What others remove meanwhile does
/// not matter. A try that was cut short leaves folders named `.removing-…` in the tree's own root.
///
/// # Errors
/// The first thing that the system refuses to remove: an immutable file, a folder that something
/// is mounted on, or one in which others go on making files.
pub fn remove_tree(path: &Path) -> Result<(), RemovalError> {
    let failed = |source: Errno| RemovalError {
        path: path.to_owned(),
        source: source.into(),
    };
    let root = match open(CWD, path) {
        Ok(Some(root)) => root,
        Ok(None) => return gone(rustix::fs::unlinkat(CWD, path, AtFlags::empty())).map_err(failed),
        Err(error) => return Err(failed(error)),
    };
    let mut tree = Tree {
        root,
        path,
        moved: 0,
        emptied: 0,
    };
    for _ in 0..REFILLS_MAX {
        tree.empty_root()?;
        match rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            other => return gone(other).map_err(failed),
        }
    }
    Err(failed(Errno::NOTEMPTY))
}

struct Tree<'a> {
    root: OwnedFd,
    path: &'a Path,
    /// Folders that were moved up into the root so far: their names are numbered.
    moved: u64,
    /// How many of these were looked at.
    emptied: u64,
}

impl Tree<'_> {
    fn failed(&self, name: &CStr, source: impl Into<io::Error>) -> RemovalError {
        RemovalError {
            path: self.path.join(&*name.to_string_lossy()),
            source: source.into(),
        }
    }

    /// What failed at a name in a folder that lies in the root, as the tree is now.
    fn failed_in(&self, folder: &CStr, name: &CStr, source: impl Into<io::Error>) -> RemovalError {
        if folder == ROOT {
            return self.failed(name, source);
        }
        let folder = self.path.join(&*folder.to_string_lossy());
        RemovalError {
            path: folder.join(&*name.to_string_lossy()),
            source: source.into(),
        }
    }

    /// Looks through the root until it has no entries. Those that are moved up come in between; they
    /// are known by number, so that a deep tree does not make it look through again for each.
    fn empty_root(&mut self) -> Result<(), RemovalError> {
        loop {
            let mut found = false;
            for entry in self.entries(self.root.as_fd(), ROOT)? {
                let (name, kind) = entry.map_err(|error| self.failed(ROOT, error))?;
                found = true;
                if is_folder(self.root.as_fd(), &name, kind)
                    .map_err(|error| self.failed(&name, error))?
                {
                    self.remove_folder(&name)?;
                } else {
                    self.unlink(ROOT, self.root.as_fd(), &name)?;
                }
                while self.emptied < self.moved {
                    let moved = moved_name(self.emptied);
                    self.emptied += 1;
                    self.remove_folder(&moved)?;
                }
            }
            if !found {
                return Ok(());
            }
        }
    }

    /// Removes a folder in the root.
    fn remove_folder(&mut self, name: &CStr) -> Result<(), RemovalError> {
        for _ in 0..REFILLS_MAX {
            match rustix::fs::unlinkat(&self.root, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                // Something else has its name by now: the next look through the root finds it.
                Err(Errno::NOTDIR) => return Ok(()),
                other => return gone(other).map_err(|error| self.failed(name, error)),
            }
            match open(self.root.as_fd(), name) {
                Ok(Some(folder)) => self.empty(name, &folder)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.failed(name, error)),
            }
        }
        Err(self.failed(name, Errno::NOTEMPTY))
    }

    /// Empties a folder in the root: its files are removed, its folders moved up.
    fn empty(&mut self, name: &CStr, folder: &OwnedFd) -> Result<(), RemovalError> {
        for entry in self.entries(folder.as_fd(), name)? {
            let (inner, kind) = entry.map_err(|error| self.failed(name, error))?;
            if is_folder(folder.as_fd(), &inner, kind)
                .map_err(|error| self.failed_in(name, &inner, error))?
            {
                self.move_up(name, folder.as_fd(), &inner)?;
            } else {
                self.unlink(name, folder.as_fd(), &inner)?;
            }
        }
        Ok(())
    }

    fn move_up(
        &mut self,
        at: &CStr,
        folder: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<(), RemovalError> {
        loop {
            let beside = moved_name(self.moved);
            self.moved += 1;
            match rustix::fs::renameat(folder, name, &self.root, &beside) {
                // The name is taken; another one is not.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::ISDIR) => {}
                // A folder that its owner may not write cannot be moved by them.
                Err(Errno::ACCESS) if open_up(folder, name).is_ok_and(|opened| opened) => {}
                other => return gone(other).map_err(|error| self.failed_in(at, name, error)),
            }
        }
    }

    fn unlink(&self, at: &CStr, folder: BorrowedFd<'_>, name: &CStr) -> Result<(), RemovalError> {
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            // It has become a folder: the next look through finds it.
            Err(Errno::ISDIR) => Ok(()),
            other => gone(other).map_err(|error| self.failed_in(at, name, error)),
        }
    }

    fn entries(
        &self,
        folder: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<
        impl Iterator<Item = Result<(std::ffi::CString, FileType), Errno>> + use<>,
        RemovalError,
    > {
        let dir = Dir::read_from(folder).map_err(|error| self.failed(name, error))?;
        Ok(dir.filter_map(|entry| match entry {
            Ok(entry) => {
                let name = entry.file_name();
                let own = [c".", c".."].contains(&name);
                (!own).then(|| Ok((name.to_owned(), entry.file_type())))
            }
            Err(error) => Some(Err(error)),
        }))
    }
}

fn moved_name(number: u64) -> std::ffi::CString {
    let name = format!(".removing-{}-{number}", std::process::id());
    std::ffi::CString::new(name).expect("it has no zero")
}

/// Opens a folder; none when there is something else of that name, or nothing.
fn open<P: rustix::path::Arg + Copy>(
    at: BorrowedFd<'_>,
    name: P,
) -> Result<Option<OwnedFd>, Errno> {
    let opened = match rustix::fs::openat(at, name, INTO, Mode::empty()) {
        Err(Errno::ACCESS) if open_up(at, name)? => {
            rustix::fs::openat(at, name, INTO, Mode::empty())
        }
        opened => opened,
    };
    match opened {
        Ok(folder) => {
            // Entries of a folder that its owner may not write cannot be removed by them.
            let stat = rustix::fs::fstat(&folder)?;
            if stat.st_mode & 0o700 != 0o700 && is_own(stat.st_uid) {
                rustix::fs::fchmod(&folder, Mode::RWXU)?;
            }
            Ok(Some(folder))
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens up a folder that its owner, this process's user, closed; answers whether it was one.
fn open_up<P: rustix::path::Arg + Copy>(at: BorrowedFd<'_>, name: P) -> Result<bool, Errno> {
    let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let closed = FileType::from_raw_mode(stat.st_mode) == FileType::Directory
        && stat.st_mode & 0o700 != 0o700
        && is_own(stat.st_uid);
    if closed {
        rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
    }
    Ok(closed)
}

fn is_own(owner: u32) -> bool {
    rustix::process::geteuid().as_raw() == owner
}

/// Whether an entry is a folder. File systems may leave that open.
fn is_folder(folder: BorrowedFd<'_>, name: &CStr, kind: FileType) -> Result<bool, Errno> {
    if kind != FileType::Unknown {
        return Ok(kind == FileType::Directory);
    }
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is gone is removed.
fn gone(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        fs,
        os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink},
    };

    use super::*;

    /// A chain of folders, made without a path that is longer than the system bears.
    fn nest(root: &Path, depth: usize) {
        fs::create_dir(root).expect("a folder");
        let mut at = rustix::fs::open(root, INTO, Mode::empty()).expect("opens");
        for _ in 0..depth {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("a folder");
            rustix::fs::openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR)
                .expect("a file");
            at = rustix::fs::openat(&at, "d", INTO, Mode::empty()).expect("opens");
        }
    }

    fn descriptors() -> usize {
        fs::read_dir("/proc/self/fd").expect("a folder").count()
    }

    #[test]
    fn a_tree_far_deeper_than_a_stack_goes() {
        let above = tempfile::tempdir().expect("a folder");
        let root = above.path().join("tree");
        nest(&root, 5_000);
        // Less than a thread of the runtime has, and less than one frame for each folder.
        let removed = std::thread::Builder::new().stack_size(256 << 10).spawn({
            let root = root.clone();
            move || remove_tree(&root)
        });
        removed
            .expect("a thread")
            .join()
            .expect("no panic")
            .expect("removes");
        assert!(fs::symlink_metadata(&root).is_err());
    }

    #[test]
    fn a_wide_tree_takes_no_descriptors() {
        let above = tempfile::tempdir().expect("a folder");
        let root = above.path().join("tree");
        for wide in 0..200 {
            fs::create_dir_all(root.join(format!("{wide}/inner/most"))).expect("folders");
            fs::write(root.join(format!("{wide}/inner/file")), b"x").expect("a file");
        }
        let before = descriptors();
        remove_tree(&root).expect("removes");
        assert!(descriptors() <= before + 8, "other tests may hold some");
        assert!(fs::symlink_metadata(&root).is_err());
        remove_tree(&root).expect("what is gone is removed");
    }

    #[test]
    fn links_names_and_modes_lead_nowhere_else() {
        let above = tempfile::tempdir().expect("a folder");
        let (root, kept) = (above.path().join("tree"), above.path().join("kept"));
        fs::create_dir_all(root.join("a/b")).expect("folders");
        fs::create_dir(&kept).expect("a folder");
        fs::write(kept.join("file"), b"x").expect("a file");
        symlink(&kept, root.join("link")).expect("a link");
        symlink(&kept, root.join("a/link")).expect("a link");
        symlink("..", root.join("a/b/up")).expect("a link");
        fs::write(root.join("a").join(OsStr::from_bytes(b"\xff\xfe\n")), b"x").expect("a file");
        fs::create_dir(root.join(OsStr::from_bytes(b"\xff"))).expect("a folder");
        fs::create_dir(root.join(format!("a/.removing-{}-0", std::process::id())))
            .expect("a folder");
        fs::write(
            root.join(format!(".removing-{}-0", std::process::id())),
            b"x",
        )
        .expect("a file");
        fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o000)).expect("a mode");
        remove_tree(&root).expect("removes");
        assert!(fs::metadata(kept.join("file")).is_ok());
        let link = above.path().join("link");
        symlink(&kept, &link).expect("a link");
        remove_tree(&link).expect("removes the link");
        assert!(fs::metadata(kept.join("file")).is_ok());
        assert!(fs::symlink_metadata(&link).is_err());
    }
}
