//! Files of secrets: written whole and durably, for nobody but their owner.
//!
//! It does not know what they hold.
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

use super::error::DataDirError;

/// Writes a small private file as a whole or not at all, durably.
///
/// # Errors
/// The first step that failed.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), DataDirError> {
    let wrong = |source| DataDirError::io("write", path, source);
    let folder = path.parent().expect("a file in a folder");
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(wrong)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path));
    if let Err(source) = written {
        // The error that stopped the write is the one to tell.
        let _ = fs::remove_file(&beside);
        return Err(wrong(source));
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(wrong)
}

/// Gives a private file another name, durably.
///
/// # Errors
/// The first step that failed.
pub(crate) fn rename_private(from: &Path, to: &Path) -> Result<(), DataDirError> {
    let folder = to.parent().expect("a file in a folder");
    fs::rename(from, to)
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|source| DataDirError::io("rename", from, source))
}

/// Takes from this process's new files and folders what nobody else needs.
pub(crate) fn keep_private() {
    // As root, cluster users pass through folders whose mode allows it; they list and read none.
    let mask = if geteuid().is_root() { 0o066 } else { 0o077 };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
}

/// Refuses a secret file that others can read or replace.
///
/// # Errors
/// When its permissions are wider than its owner.
pub(crate) fn check_private(path: &Path, file: &File) -> Result<(), DataDirError> {
    let metadata = file
        .metadata()
        .map_err(|source| DataDirError::io("read", path, source))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(DataDirError::OpenSecret(path.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn private_files_are_private_and_whole() {
        let above = tempfile::tempdir().expect("a folder");
        let path = above.path().join("secret");
        write_private(&path, b"one").expect("written");
        write_private(&path, b"two").expect("written again");
        assert_eq!(fs::read(&path).expect("there"), b"two");
        assert!(check_private(&path, &File::open(&path).expect("there")).is_ok());
        assert_eq!(fs::read_dir(above.path()).expect("there").count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        let open = check_private(&path, &File::open(&path).expect("there"));
        assert!(matches!(open, Err(DataDirError::OpenSecret(_))));
    }
}
