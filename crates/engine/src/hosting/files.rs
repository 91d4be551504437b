//! Folders and files of a cluster's settings: made by this process's user, with exactly the mode that
//! is wanted.
//!
//! It does not know what is in them.
use std::{
    fs,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

use crate::{
    error::EngineError,
    folder::{Folder, give_one},
    home::Home,
};

/// Makes a folder of this process's user with exactly this mode, whatever the umask.
pub(crate) fn make_folder(dir: &Path, mode: u32) -> std::io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if !fs::symlink_metadata(dir)?.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(mode))
}

/// Keeps a file beside the settings that is nobody else's.
pub(crate) fn keep(home: &Home, name: &str, bytes: &[u8]) -> Result<(), EngineError> {
    let dir = home.conf();
    let failed = |source| EngineError::io("write the server's settings in", &dir, source);
    make_folder(&dir, 0o711).map_err(failed)?;
    replace(&dir, name, bytes, None).map_err(failed)?;
    Ok(())
}

/// Writes a file beside its place and moves it there, unless it is there; the group may read it.
pub(crate) fn replace(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    group: Option<u32>,
) -> std::io::Result<bool> {
    put(dir, name, bytes, |file| match group {
        Some(group) => {
            rustix::fs::fchown(file, None, Some(rustix::fs::Gid::from_raw(group)))?;
            file.set_permissions(fs::Permissions::from_mode(0o640))
        }
        None => Ok(()),
    })
}

/// The same for a file that its owner alone may read.
pub(crate) fn replace_private(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    owner: Option<u32>,
) -> std::io::Result<bool> {
    put(dir, name, bytes, |file| give_one(file, owner))
}

fn put(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    give: impl FnOnce(&fs::File) -> std::io::Result<()>,
) -> std::io::Result<bool> {
    match fs::read(dir.join(name)) {
        Ok(found) if found == bytes => return Ok(false),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let beside = dir.join(format!("{name}.new"));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    give(&file)?;
    file.sync_all()?;
    fs::rename(&beside, dir.join(name))?;
    Ok(true)
}

/// Makes the folders above `dir` that are not there yet, with exactly this mode.
pub(crate) fn make_parents(dir: &Path, mode: u32) -> std::io::Result<()> {
    let mut missing: Vec<&Path> = Vec::new();
    for path in dir.ancestors().skip(1) {
        match fs::symlink_metadata(path) {
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing.push(path),
            Err(error) => return Err(error),
        }
    }
    for path in missing.into_iter().rev() {
        make_folder(path, mode)?;
    }
    Ok(())
}

/// Root's own folder, which the server's user may only pass through.
pub(crate) fn home_mode(home: &Home) -> u32 {
    match home.os_uid {
        Some(_) => 0o711,
        None => 0o700,
    }
}

/// Makes the folder of a server's socket, which is the server's user's.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_socket_folder(home: &Home) -> Result<(), EngineError> {
    let dir = &home.socket_dir;
    let failed = |source| EngineError::io("make the socket's folder", dir, source);
    make_parents(dir, home_mode(home)).map_err(failed)?;
    match fs::create_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(failed(error));
        }
        _ => {}
    }
    // Opened without following a link, so that nothing else can be given away.
    let folder = Folder::open(dir).map_err(failed)?;
    folder.own(home.os_uid).map_err(failed)
}
