//! One change to a cluster at a time.
//!
//! It does not know which change.
use std::{fs, io, os::unix::fs::OpenOptionsExt, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    files::{home_mode, make_folder, make_parents},
    whole::is_whole,
};
use crate::{error::EngineError, home::Home};

/// How long an operation waits for another one on the same cluster.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// The right to change a cluster: one holder at a time, in this process or another. It ends with
/// the value, and with the process.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: fs::File,
}

impl Hold {
    const NAME: &str = "lock";

    /// Takes the lock without waiting; none when another holds it.
    fn try_take(home: &Home) -> Result<Option<Self>, EngineError> {
        let path = home.dir.join(Self::NAME);
        let failed = |source| EngineError::io("lock", &path, source);
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Makes the folder of a home that is to get a cluster, and takes its lock.
    ///
    /// # Errors
    /// [`EngineError::AlreadyWhole`] when it has one; as [`Self::take`].
    pub(crate) async fn take_new(home: &Home) -> Result<Self, EngineError> {
        let check = || match is_whole(home)? {
            true => Err(EngineError::AlreadyWhole {
                home: home.dir.clone(),
            }),
            false => Ok(()),
        };
        check()?;
        let failed = |source| EngineError::io("make the folder", &home.dir, source);
        make_parents(&home.dir, home_mode(home)).map_err(failed)?;
        make_folder(&home.dir, home_mode(home)).map_err(failed)?;
        let held = Self::take(home).await?;
        check()?;
        Ok(held)
    }

    /// Takes the lock as [`Self::take`] does; none when there is no such folder.
    pub(crate) async fn take_if_there(home: &Home) -> Result<Option<Self>, EngineError> {
        match fs::symlink_metadata(&home.dir) {
            Ok(_) => Self::take(home).await.map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EngineError::io("look at", &home.dir, error)),
        }
    }

    /// Takes the lock, waiting a while for another holder.
    pub(crate) async fn take(home: &Home) -> Result<Self, EngineError> {
        let deadline = Instant::now() + BUSY_WAIT;
        loop {
            if let Some(held) = Self::try_take(home)? {
                return Ok(held);
            }
            if deadline < Instant::now() {
                return Err(EngineError::Busy {
                    home: home.dir.clone(),
                });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}
