//! Marks in a home's own folder, which outlive whoever made them: small files that no server can change.
//!
//! It does not know what they are for.
use std::{fs, io, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use crate::{blocking::blocking, error::EngineError, folder::Folder, home::Home};

/// A mark, by its file's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(pub(crate) &'static str);

impl Mark {
    fn path(self, home: &Home) -> PathBuf {
        home.dir.join(self.0)
    }

    /// What the mark says; none where it is not.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn text(self, home: &Home) -> Result<Option<String>, EngineError> {
        let path = self.path(home);
        blocking(move || match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EngineError::io("read", path, error)),
        })
        .await
    }

    /// Makes the mark, durably, where there is the home's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn set(self, home: &Home, text: &str) -> Result<(), EngineError> {
        let (path, dir, text) = (self.path(home), home.dir.clone(), text.to_owned());
        blocking(move || {
            let failed = |source| EngineError::io("mark", &dir, source);
            let folder = match Folder::open(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other.map_err(failed)?,
            };
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options
                .open(path)
                .and_then(|mut mark| {
                    mark.write_all(text.as_bytes())?;
                    mark.sync_all()
                })
                .map_err(failed)?;
            folder.sync().map_err(failed)
        })
        .await
    }

    /// Takes the mark away, durably.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub(crate) async fn clear(self, home: &Home) -> Result<(), EngineError> {
        let (path, dir) = (self.path(home), home.dir.clone());
        blocking(move || match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted
                .and_then(|()| Folder::open(&dir)?.sync())
                .map_err(|error| EngineError::io("delete", path, error)),
        })
        .await
    }
}
