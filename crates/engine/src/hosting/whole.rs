//! The mark of a cluster that is whole, and which of its tries that was.
//!
//! It does not know how one becomes whole.
use std::{fs, io, io::Write, os::unix::fs::OpenOptionsExt};

use model::{Entropy, SystemEntropy};

use crate::{blocking::blocking, error::EngineError, folder::Folder, home::Home};

/// The mark of a cluster that was made or loaded to the end.
const WHOLE: &str = "whole";

pub(crate) fn is_whole(home: &Home) -> Result<bool, EngineError> {
    let mark = home.dir.join(WHOLE);
    match fs::symlink_metadata(&mark) {
        Ok(facts) => Ok(facts.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EngineError::io("look at", mark, error)),
    }
}

/// Marks the cluster as whole, durably, after all of it is durable. The mark holds a random
/// number, new for every try that became whole: the data folder's incarnation.
pub(crate) async fn mark_whole(home: &Home) -> Result<(), EngineError> {
    let home = home.clone();
    blocking(move || write_mark(&home)).await
}

fn write_mark(home: &Home) -> Result<(), EngineError> {
    let failed = |source| EngineError::io("mark as whole", &home.dir, source);
    let data = Folder::open(&home.data()).map_err(failed)?;
    data.sync_file_system().map_err(failed)?;
    let folder = Folder::open(&home.dir).map_err(failed)?;
    let incarnation = SystemEntropy.uuid().simple().to_string();
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(home.dir.join(WHOLE))
        .and_then(|mut mark| {
            mark.write_all(incarnation.as_bytes())?;
            mark.sync_all()
        })
        .map_err(failed)?;
    folder.sync().map_err(failed)
}

pub(crate) fn unmark_whole(home: &Home) -> Result<(), EngineError> {
    let mark = home.dir.join(WHOLE);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::io("delete", mark, error))
        }
        _ => Ok(()),
    }
}

/// The data folder's incarnation; none when its mark does not say it.
pub(crate) fn incarnation(home: &Home) -> Option<uuid::Uuid> {
    let text = fs::read_to_string(home.dir.join(WHOLE)).ok()?;
    uuid::Uuid::try_parse(text.trim()).ok()
}
