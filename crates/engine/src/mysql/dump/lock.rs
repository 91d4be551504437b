//! One dump of a cluster at a time: the server has one consumer of its redo log.
//!
//! It does not know what a dump does.
use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::{EngineError, Home, hosting::files::make_folder};

/// The right to dump a cluster. It ends with the value, and with the process.
#[derive(Debug)]
pub(super) struct DumpLock {
    _file: File,
}

impl DumpLock {
    /// Takes it without waiting; none when another dump has it. `dir` is the folder for what a dump needs.
    pub(super) fn try_take(home: &Home, dir: &Path) -> Result<Option<Self>, EngineError> {
        let failed = |source| EngineError::io("lock", dir, source);
        make_folder(dir, 0o700).map_err(failed)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(dir.join("lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => {
                tracing::debug!(home = %home.dir.display(), "another dump runs");
                Ok(None)
            }
            Err(fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
