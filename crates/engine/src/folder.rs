//! A folder whose content another user may change at any time: entered by name below an open
//! descriptor, never through a link.
//!
//! It does not know which files a database has.
use std::{
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

/// How deep a data folder may nest.
pub(crate) const DEPTH_MAX: usize = 8;

/// How many entries a folder of a cluster may have: a list of them is held in memory.
pub(crate) const ENTRIES_MAX: usize = 2_000_000;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Other,
}

/// An entry of a folder.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) stat: Stat,
}

const INTO: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder that is no link itself.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            fd: rustix::fs::open(path, INTO, Mode::empty())?,
            path: path.to_path_buf(),
        })
    }

    /// Opens a folder in this one.
    pub(crate) fn enter(&self, name: &str) -> io::Result<Self> {
        Ok(Self {
            fd: rustix::fs::openat(&self.fd, name, INTO, Mode::empty())?,
            path: self.path.join(name),
        })
    }

    /// Opens the folder at a relative path below this one.
    pub(crate) fn descend(&self, path: &str) -> io::Result<Self> {
        let mut at = Self {
            fd: self.fd.try_clone()?,
            path: self.path.clone(),
        };
        for part in path.split('/').filter(|part| !part.is_empty()) {
            at = at.enter(part)?;
        }
        Ok(at)
    }

    /// Opens a file in this folder for reading; a pipe or device does not make it wait.
    pub(crate) fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(file)
    }

    /// Whether this folder has a file of that name that can be read.
    pub(crate) fn has_file(&self, name: &str) -> io::Result<bool> {
        match self.file(name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the folder holds, sorted by name. An entry that vanishes meanwhile is left out.
    ///
    /// # Errors
    /// Also when there are more than [`ENTRIES_MAX`].
    pub(crate) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_bytes() == b"." || name.to_bytes() == b".." {
                continue;
            }
            let stat = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => Kind::Folder,
                FileType::RegularFile => Kind::File,
                _ => Kind::Other,
            };
            // The database's own names are ASCII; any other is shown as it can be and found odd.
            let name = name.to_string_lossy().into_owned();
            if entries.len() == ENTRIES_MAX {
                return Err(io::Error::other(format!(
                    "{} has more than {ENTRIES_MAX} entries",
                    self.path.display()
                )));
            }
            entries.push(Entry { name, kind, stat });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Deletes a file or link of this folder, if it is there.
    pub(crate) fn unlink(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a folder in this one, if it is not there.
    pub(crate) fn make(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => self.enter(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an empty file that was not there.
    pub(crate) fn touch(&self, name: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(())
    }

    /// Opens a file in this folder for writing, made for a user where it is not there; what it holds
    /// stays.
    pub(crate) fn write(&self, name: &str, owner: Option<u32>) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, mode)?);
        let facts = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile || facts.st_nlink != 1 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file of this name alone",
            ));
        }
        give_one(&file, owner)?;
        Ok(file)
    }

    /// Gives this folder and all in it to a user, folders 0700 and files 0600.
    ///
    /// # Errors
    /// Also when something is neither folder nor file, or a file has another name elsewhere: a
    /// change of its owner would reach beyond this folder.
    pub(crate) fn give(&self, owner: Option<u32>) -> io::Result<()> {
        self.give_below(owner, DEPTH_MAX)
    }

    fn give_below(&self, owner: Option<u32>, depth: usize) -> io::Result<()> {
        let odd = |name: &str, why: &str| {
            io::Error::other(format!("{}: {why}", self.path.join(name).display()))
        };
        if depth == 0 {
            return Err(odd("", "nested too deep"));
        }
        for entry in self.entries()? {
            match entry.kind {
                Kind::Folder => self.enter(&entry.name)?.give_below(owner, depth - 1)?,
                Kind::File if entry.stat.st_nlink == 1 => {
                    let file = self.file(&entry.name)?;
                    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
                    give_one(&file, owner)?;
                }
                Kind::File => return Err(odd(&entry.name, "has a second name elsewhere")),
                Kind::Other => return Err(odd(&entry.name, "is neither folder nor file")),
            }
        }
        self.own(owner)
    }

    /// Gives this folder alone to a user, with mode 0700.
    pub(crate) fn own(&self, owner: Option<u32>) -> io::Result<()> {
        rustix::fs::fchmod(&self.fd, Mode::RWXU)?;
        give_one(&self.fd, owner)
    }

    /// The number of the folder's device, and of its kind of file system.
    pub(crate) fn file_system(&self) -> io::Result<(u64, i64)> {
        let kind = rustix::fs::fstatfs(&self.fd)?.f_type;
        Ok((rustix::fs::fstat(&self.fd)?.st_dev, kind))
    }

    /// Makes what was written to the folder's file system so far durable.
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.fd)?)
    }

    /// Gives a file another name, in the place of what has it.
    pub(crate) fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, name, &self.fd, new)?)
    }

    /// Makes this folder's own entries durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }
}

/// Gives an open file or folder to a user.
pub(crate) fn give_one(fd: impl std::os::fd::AsFd, owner: Option<u32>) -> io::Result<()> {
    if let Some(owner) = owner {
        let (uid, gid) = (
            rustix::fs::Uid::from_raw(owner),
            rustix::fs::Gid::from_raw(owner),
        );
        rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Reads a small file of the data folder whole.
pub(crate) fn read_small(file: &mut File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Fills the buffer from a place in a file on, as far as the file goes.
pub(crate) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_never_followed() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("real")).expect("a folder");
        fs::write(root.path().join("real/file"), b"x").expect("a file");
        symlink("real", root.path().join("link")).expect("a link");
        symlink("real/file", root.path().join("file")).expect("a link");
        let folder = Folder::open(root.path()).expect("opens");
        assert!(folder.enter("link").is_err());
        assert!(folder.file("file").is_err());
        assert!(Folder::open(&root.path().join("link")).is_err());
        assert!(folder.descend("real").expect("enters").file("file").is_ok());
        assert!(folder.give(None).is_err(), "a link cannot be given");
    }

    #[test]
    fn a_file_with_two_names_is_not_given() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("data")).expect("a folder");
        fs::write(root.path().join("secret"), b"x").expect("a file");
        fs::hard_link(root.path().join("secret"), root.path().join("data/f")).expect("a name");
        let folder = Folder::open(&root.path().join("data")).expect("opens");
        assert!(folder.give(None).is_err());
    }
}
