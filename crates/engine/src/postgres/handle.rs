//! What the engine works with: programs, addresses, certificates.
//!
//! It does not know what is done with them.
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use super::{conf, install::Installs, own_programs::OwnPrograms};
use crate::hosting::{
    address, child::own_uid, limited::Limited, lists::Lists, template::Templates,
};
use crate::{certify::Tls, error::EngineError, home::Home, reach};

/// Runs PostgreSQL.
#[derive(Debug, Default)]
pub struct Postgres {
    pub(super) installs: Installs,
    pub(super) addresses: Arc<address::Addresses>,
    pub(super) tls: OnceLock<Tls>,
    pub(super) templates: Templates,
    pub(super) own_programs: OwnPrograms,
    pub(super) limited: Limited,
    pub(super) lists: Lists,
}

impl Postgres {
    /// Uses Debian's programs, and those in `extra`: a folder with `bin/postgres`, or with folders
    /// that have it. The programs are looked up when they are first needed.
    pub fn new(extra: Option<PathBuf>) -> Self {
        Self {
            installs: Installs::new(extra),
            ..Self::default()
        }
    }

    /// Uses only the programs in these folders, each as `extra` of [`Postgres::new`].
    pub fn only(folders: Vec<PathBuf>) -> Self {
        Self {
            installs: Installs::only(folders),
            ..Self::default()
        }
    }

    /// Checks a home before anything is done in it.
    pub(super) fn check(&self, home: &Home) -> Result<(), EngineError> {
        conf::check(home)?;
        match home.os_uid {
            None if own_uid() == 0 => Err(EngineError::BadValue {
                what: "the server's user",
                value: "root".to_owned(),
                why: "cannot run PostgreSQL: a user number is needed",
            }),
            Some(0) => Err(EngineError::BadValue {
                what: "the server's user",
                value: "0".to_owned(),
                why: "is root, as which PostgreSQL does not run",
            }),
            Some(uid) => {
                for folder in [home.dir.parent(), home.socket_dir.parent()]
                    .into_iter()
                    .flatten()
                {
                    if let Some(folder) = reach::first_unreachable(folder, uid) {
                        return Err(EngineError::Unreachable { folder, uid });
                    }
                }
                Ok(())
            }
            None => Ok(()),
        }
    }
}
