//! Where is looked: the settings that a server would have, and its data folder.
use std::path::PathBuf;

use crate::{
    commands::{arguments::Offline, failure::Failure, offline},
    deployment::data_dir::{DataDir, DataDirError, default_path},
    settings::{Layer, vault_place::VaultPlace},
};

/// A deployment on this machine.
pub(super) struct Site {
    pub(super) layer: Layer,
    pub(super) master_key_fd: Option<u32>,
    /// Where the data folder is or would be.
    pub(super) path: PathBuf,
    pub(super) dir: Result<DataDir, DataDirError>,
}

impl Site {
    /// # Errors
    /// The settings'.
    pub(super) fn of(asked: Offline) -> Result<Self, Failure> {
        let master_key_fd = asked.master_key.master_key_fd;
        let layer = offline::layer(asked)?;
        let path = match &layer.data {
            Some(path) => path.clone(),
            None => default_path(layer.mode())?,
        };
        Ok(Self {
            dir: DataDir::attach(&path),
            layer,
            master_key_fd,
            path,
        })
    }

    /// The server that has the folder, if one runs.
    pub(super) fn served_by(&self) -> Option<u32> {
        self.dir.as_ref().ok().and_then(DataDir::holder)
    }

    /// The folder that vaults lie in, unless they are in a bucket.
    pub(super) fn vault_folder(&self) -> Option<PathBuf> {
        match &self.layer.vault {
            Some(VaultPlace::Bucket(_)) => None,
            Some(VaultPlace::Folder(folder)) => Some(folder.clone()),
            None => Some(self.path.join("vault")),
        }
    }
}
