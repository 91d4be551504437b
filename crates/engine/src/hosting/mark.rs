//! Marks in a home's own folder, which outlive whoever made them: small files that no server can change.
//!
//! It does not know what they are for.
use std::{fs, io, path::PathBuf};

use super::files;
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
        let at = home.clone();
        blocking(move || self.read(&at)).await
    }

    /// The same; blocks.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub(crate) fn read(self, home: &Home) -> Result<Option<String>, EngineError> {
        let path = self.path(home);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EngineError::io("read", path, error)),
        }
    }

    /// Makes the mark, durably, where there is the home's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn set(self, home: &Home, text: &str) -> Result<(), EngineError> {
        let (dir, text) = (home.dir.clone(), text.to_owned());
        blocking(move || {
            let failed = |source| EngineError::io("mark", &dir, source);
            let folder = match Folder::open(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other.map_err(failed)?,
            };
            // Whole under its name, or not there.
            files::replace(&dir, self.0, text.as_bytes(), None).map_err(failed)?;
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
