//! The file that a server's messages go to: this process opens it, and cuts it when it grows.
//!
//! It does not know what is in it.
use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
};

use super::{child::last_lines, files::make_folder};
use crate::{error::EngineError, home::Home, profile::Profile};

/// A log beyond this many bytes is cut.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// Bytes of the log that a cut keeps, in a file beside it whose name ends in `.1`.
const LOG_BYTES_KEPT: u64 = 1 << 20;
/// Bytes of the log that go into an error.
const TAIL_BYTES: u64 = 4 << 10;

/// Opens the log for a new server, cut if it has grown.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn open(home: &Home, profile: &Profile) -> Result<fs::File, EngineError> {
    let path = home.log_file(profile);
    let failed = |source| EngineError::io("open the log", &path, source);
    make_folder(&home.dir.join("log"), 0o700).map_err(failed)?;
    trim(home, profile)?;
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.open(&path).map_err(failed)
}

/// Cuts a log that has grown too long; the server goes on writing to the same file.
pub(crate) fn trim(home: &Home, profile: &Profile) -> Result<(), EngineError> {
    let path = home.log_file(profile);
    let failed = |source| EngineError::io("cut the log", &path, source);
    let mut file = match fs::OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let length = file.metadata().map_err(failed)?.len();
    if length <= LOG_BYTES_MAX {
        return Ok(());
    }
    file.seek(SeekFrom::Start(length - LOG_BYTES_KEPT))
        .map_err(failed)?;
    let mut kept = Vec::new();
    (&file)
        .take(LOG_BYTES_KEPT)
        .read_to_end(&mut kept)
        .map_err(failed)?;
    let old = path.with_extension("log.1");
    fs::write(&old, &kept).map_err(failed)?;
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    file.set_len(0).map_err(failed)
}

/// The last lines of the log, for an error.
pub(crate) fn tail(home: &Home, profile: &Profile) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(home.log_file(profile))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    last_lines(&read().unwrap_or_default())
}
