//! The folder that a restore fills: made anew, files of their full size with holes, modes last.
//!
//! It does not know what is written into it. Paths were checked when the manifest was read, and
//! nothing in the folder is anything but what was made here, so no link is ever followed.
use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::{body::Body, error::VaultError};

/// Files kept open at once.
const OPEN_FILES_MAX: usize = 128;
/// Set-user-id and its like never come from a snapshot.
const MODE_MASK: u32 = 0o777;

pub(crate) struct Tree<'a> {
    root: PathBuf,
    /// Opened before anything is written: the file system reports failed writes to it.
    root_file: File,
    body: &'a Body,
    open: Mutex<Open>,
}

/// Files that were written to lately.
#[derive(Default)]
struct Open {
    files: HashMap<u32, (Arc<File>, u64)>,
    turn: u64,
}

impl<'a> Tree<'a> {
    /// Makes the folder, its directories, and the files with their sizes.
    pub(crate) fn make(root: &Path, body: &'a Body) -> Result<Self, VaultError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| VaultError::io(what, &path, source)
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700);
        match builder.create(root) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mut entries = std::fs::read_dir(root).map_err(failed("read", root))?;
                if entries.next().is_some() {
                    return Err(VaultError::BadPath {
                        path: root.display().to_string(),
                        why: "is not empty, so nothing can be restored into it",
                    });
                }
            }
            other => other.map_err(failed("make the folder", root))?,
        }
        let root_file = File::open(root).map_err(failed("open", root))?;
        for directory in &body.directories {
            let path = root.join(&directory.path);
            builder
                .create(&path)
                .map_err(failed("make the folder", &path))?;
        }
        for file in &body.files {
            let path = root.join(&file.path);
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .and_then(|made| made.set_len(file.size))
                .map_err(failed("make", &path))?;
        }
        Ok(Self {
            root: root.to_owned(),
            root_file,
            body,
            open: Mutex::default(),
        })
    }

    /// Writes into a file by its number in the manifest; several threads may.
    pub(crate) fn write(&self, file: u32, bytes: &[u8], offset: u64) -> Result<(), VaultError> {
        let path = || self.root.join(&self.body.files[file as usize].path);
        let opened = self
            .open(file, path)
            .map_err(|source| VaultError::io("open", &path(), source))?;
        opened
            .write_all_at(bytes, offset)
            .map_err(|source| VaultError::io("write", &path(), source))
    }

    fn open(&self, file: u32, path: impl Fn() -> PathBuf) -> std::io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(|e| e.into_inner());
        let Open { files, turn } = &mut *open;
        *turn += 1;
        if let Some((known, used)) = files.get_mut(&file) {
            *used = *turn;
            return Ok(Arc::clone(known));
        }
        if OPEN_FILES_MAX <= files.len() {
            let oldest = files.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(file, _)| *file).expect("many are open");
            files.remove(&oldest);
        }
        let opened = Arc::new(OpenOptions::new().write(true).open(path())?);
        files.insert(file, (Arc::clone(&opened), *turn));
        Ok(opened)
    }

    /// Gives everything its mode and makes it durable: one sync of the file system, since one
    /// for each file would take many times as long.
    pub(crate) fn finish(self) -> Result<(), VaultError> {
        drop(self.open);
        let files = self.body.files.iter().map(|file| (&file.path, file.mode));
        let directories = self.body.directories.iter().rev();
        for (path, mode) in files.chain(directories.map(|d| (&d.path, d.mode))) {
            let path = self.root.join(path);
            let mode = std::fs::Permissions::from_mode(mode & MODE_MASK);
            std::fs::set_permissions(&path, mode)
                .map_err(|source| VaultError::io("set the mode of", &path, source))?;
        }
        rustix::fs::syncfs(&self.root_file)
            .map_err(|source| VaultError::io("sync", &self.root, source.into()))
    }
}
