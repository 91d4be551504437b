//! The mark of a server whose writes another one takes: it is not started as a writer while the mark
//! is there, whoever asks, and whatever they knew before.
//!
//! It does not know who takes them.
use std::{fs, io, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf, time::Duration};

use super::process;
use crate::hosting::hold::Hold;
use crate::{blocking::blocking, error::EngineError, folder::Folder, home::Home};

const MARK: &str = "fenced";

fn path(home: &Home) -> PathBuf {
    home.dir.join(MARK)
}

/// What was said when the server was fenced; none when it is not.
pub(super) async fn token(home: &Home) -> Result<Option<String>, EngineError> {
    let path = path(home);
    blocking(move || match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EngineError::io("read", path, error)),
    })
    .await
}

/// Takes the mark away.
pub(super) async fn clear(home: &Home) -> Result<(), EngineError> {
    let path = path(home);
    blocking(move || match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::io("delete", path, error))
        }
        _ => Ok(()),
    })
    .await
}

/// Marks the server, durably, and ends it. A start that is under way ends it with it.
pub(super) async fn fence(home: &Home, token: &str, patience: Duration) -> Result<(), EngineError> {
    let (at, token) = (home.clone(), token.to_owned());
    blocking(move || write(&at, &token)).await?;
    process::end(home, patience).await?;
    if let Some(_held) = Hold::take_if_there(home).await? {
        // A start that held the lock meanwhile may have got to its process.
        process::end(home, Duration::ZERO).await?;
        process::check_ended(home)?;
    }
    Ok(())
}

fn write(home: &Home, token: &str) -> Result<(), EngineError> {
    let failed = |source| EngineError::io("fence", &home.dir, source);
    let folder = match Folder::open(&home.dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path(home))
        .and_then(|mut mark| {
            mark.write_all(token.as_bytes())?;
            mark.sync_all()
        })
        .map_err(failed)?;
    folder.sync().map_err(failed)
}
