//! Large objects into a local folder, past the page cache.
//!
//! It does not know small objects, nor how any object is read: the object store does both.
//! Like the store, it stages an object as `<name>#0`, and gives it its name when it is whole.
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::store::direct_io::{self, ALIGNMENT, Aligned};

/// Objects below this size are not worth it, bytes.
pub(crate) const LARGE_BYTES: usize = 1 << 20;
/// Bytes in one write: disks are at their speed from here on.
const WRITE_BYTES: usize = 1 << 20;
/// Buffers kept for the next object.
const SPARES_MAX: usize = 4;

/// A folder of objects.
#[derive(Debug)]
pub(crate) struct LargeObjects {
    root: PathBuf,
    /// Set once the file system has refused: nothing is tried any more.
    refused: AtomicBool,
    spares: Mutex<Vec<Aligned>>,
}

impl LargeObjects {
    pub(crate) fn below(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            refused: AtomicBool::new(false),
            spares: Mutex::default(),
        }
    }

    /// Whether an object of this size is for here.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        LARGE_BYTES <= bytes && !self.refused.load(Ordering::Relaxed)
    }

    /// Writes an object under a name that is free, durably. Blocks. False: nothing was written,
    /// since the folder is not there yet or its file system takes no direct writes.
    ///
    /// # Errors
    /// The file system's; [`io::ErrorKind::AlreadyExists`] when the name is taken.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> io::Result<bool> {
        let path = self.root.join(path);
        let Some(folder) = path.parent() else {
            return Ok(false);
        };
        if !folder.try_exists()? {
            return Ok(false);
        }
        let mut staged = path.clone().into_os_string();
        staged.push("#0");
        let staged = PathBuf::from(staged);
        let put = self.stage(&staged, bytes).and_then(|written| {
            if written {
                // Unlike a rename, a link takes no name away from another object.
                std::fs::hard_link(&staged, &path)?;
            }
            Ok(written)
        });
        match std::fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if put? {
            File::open(folder)?.sync_all()?;
            return Ok(true);
        }
        self.refused.store(true, Ordering::Relaxed);
        Ok(false)
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Aligned>> {
        self.spares.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Writes the object under a name for the time being; false when that is refused.
    fn stage(&self, staged: &Path, bytes: &[u8]) -> io::Result<bool> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let Some(file) = direct_io::open(&mut options, staged)? else {
            return Ok(false);
        };
        let spare = self.spares().pop();
        let mut buffer = spare.unwrap_or_else(|| Aligned::zeros(WRITE_BYTES));
        let mut at = 0;
        for piece in bytes.chunks(WRITE_BYTES) {
            buffer[..piece.len()].copy_from_slice(piece);
            let whole = piece.len().next_multiple_of(ALIGNMENT);
            match file.write_all_at(&buffer[..whole], at) {
                Err(error) if at == 0 && direct_io::is_refusal(&error) => return Ok(false),
                other => other?,
            }
            at += whole as u64;
        }
        let mut spares = self.spares();
        if spares.len() < SPARES_MAX {
            spares.push(buffer);
        }
        drop(spares);
        // What the last write had too much.
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_whole_and_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("packs")).unwrap();
        let large = LargeObjects::below(root.path());
        let sizes = [
            1,
            ALIGNMENT,
            WRITE_BYTES,
            3 * WRITE_BYTES - 1,
            WRITE_BYTES + 5,
        ];
        for (number, size) in sizes.into_iter().enumerate() {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let name = format!("packs/{number}");
            if !large.put(&name, &bytes).unwrap() {
                // This file system takes no direct writes.
                assert!(!large.take(LARGE_BYTES));
                return;
            }
            assert_eq!(std::fs::read(root.path().join(&name)).unwrap(), bytes);
            let again = large.put(&name, &[1]).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(root.path().join(&name)).unwrap(), bytes);
        }
        let left = std::fs::read_dir(root.path().join("packs")).unwrap();
        assert_eq!(left.count(), sizes.len(), "nothing staged is left");
    }

    #[test]
    fn a_folder_that_is_not_there_is_left_to_the_store() {
        let root = tempfile::tempdir().unwrap();
        let large = LargeObjects::below(root.path());
        assert!(!large.put("packs/x", &[1]).unwrap());
        assert!(large.take(LARGE_BYTES), "the next one is tried");
    }
}
