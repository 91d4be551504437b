//! The folder that a restore fills: made anew, files of their full size with holes, modes last.
//!
//! It does not know what is written into it. Paths were checked when the manifest was read, and
//! nothing in the folder is anything but what was made here, so no link is ever followed.
//!
//! Files that come in long runs are written past the page cache. A file is written in one way or
//! the other, never both: where pages of the cache are larger than blocks, a cached page could
//! lay old bytes over what was written past it.
use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use super::plan::Run;
use crate::{
    error::VaultError,
    format::{body::Body, head::BLOCK_BYTES},
    store::direct_io::{self, ALIGNMENT},
};

/// Files kept open at once.
const OPEN_FILES_MAX: usize = 128;
/// Set-user-id and its like never come from a snapshot.
const MODE_MASK: u32 = 0o777;
/// Files below this size are not worth a direct write, bytes.
const DIRECT_FILE_BYTES: u64 = 1 << 20;
/// Nor are files whose runs of blocks are shorter than this on average: each is a wait for the
/// disk, and the page cache would put them together.
const DIRECT_RUN_BYTES: u64 = 64 << 10;

pub(crate) struct Tree<'a> {
    root: PathBuf,
    /// Opened before anything is written: the file system reports failed writes to it.
    root_file: File,
    body: &'a Body,
    /// For each file, whether it is written past the page cache.
    direct: Vec<bool>,
    /// Set once the file system has refused a direct write: none is tried any more.
    refused: AtomicBool,
    open: Mutex<Open>,
}

/// Files that were written to lately.
#[derive(Default)]
struct Open {
    files: HashMap<u32, (Arc<Opened>, u64)>,
    turn: u64,
}

struct Opened {
    file: File,
    direct: bool,
}

impl<'a> Tree<'a> {
    /// Makes the folder, its directories, and the files with their sizes. `runs` are all that
    /// will be written.
    pub(crate) fn make(root: &Path, body: &'a Body, runs: &[Run]) -> Result<Self, VaultError> {
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
            direct: in_long_runs(body, runs),
            refused: AtomicBool::new(false),
            open: Mutex::default(),
        })
    }

    /// Writes into a file by its number in the manifest; several threads may.
    pub(crate) fn write(&self, file: u32, bytes: &[u8], offset: u64) -> Result<(), VaultError> {
        let path = || self.root.join(&self.body.files[file as usize].path);
        let failed = |what: &'static str| move |source| VaultError::io(what, &path(), source);
        let opened = self.open(file, path).map_err(failed("open"))?;
        match opened.file.write_all_at(bytes, offset) {
            Err(error) if opened.direct && direct_io::is_refusal(&error) => {
                self.refused.store(true, Ordering::Relaxed);
                self.opened().files.remove(&file);
                let opened = self.open(file, path).map_err(failed("open"))?;
                opened.file.write_all_at(bytes, offset)
            }
            other => other,
        }
        .map_err(failed("write"))
    }

    fn opened(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn open(&self, file: u32, path: impl Fn() -> PathBuf) -> std::io::Result<Arc<Opened>> {
        let mut open = self.opened();
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
        let opened = Arc::new(self.open_new(file, &path())?);
        files.insert(file, (Arc::clone(&opened), *turn));
        Ok(opened)
    }

    fn open_new(&self, file: u32, path: &Path) -> std::io::Result<Opened> {
        if self.direct[file as usize]
            && !self.refused.load(Ordering::Relaxed)
            && let Some(file) = direct_io::open(OpenOptions::new().write(true), path)?
        {
            return Ok(Opened { file, direct: true });
        }
        let file = OpenOptions::new().write(true).open(path)?;
        Ok(Opened {
            file,
            direct: false,
        })
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

/// For each file, whether it is large, of a length that direct writes take, and comes in runs
/// that are long on average.
fn in_long_runs(body: &Body, runs: &[Run]) -> Vec<bool> {
    let mut seen = vec![(0_u64, 0_u64); body.files.len()];
    for run in runs {
        let (count, blocks) = &mut seen[run.file as usize];
        *count += 1;
        *blocks += u64::from(run.blocks);
    }
    let files = body.files.iter().zip(seen);
    files
        .map(|(file, (count, blocks))| {
            DIRECT_FILE_BYTES <= file.size
                && file.size.is_multiple_of(ALIGNMENT as u64)
                && count * DIRECT_RUN_BYTES <= blocks * BLOCK_BYTES as u64
        })
        .collect()
}
