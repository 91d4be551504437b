//! What the engine works with: programs, addresses, certificates.
//!
//! It does not know what is done with them.
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use super::{
    changes::Known,
    conf,
    install::{Install, Installs},
    own_programs::OwnPrograms,
};
use crate::hosting::{
    address, limited::Limited, lists::Lists, template::Templates, users::check_server_user,
};
use crate::{certify::Tls, error::EngineError, home::Home};

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
    pub(super) known: Known,
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

    /// How the home's server speaks TLS; not at all when its build cannot.
    ///
    /// # Errors
    /// When it cannot, and clients without TLS are refused.
    pub(super) fn tls_of(&self, home: &Home) -> Result<Option<Tls>, EngineError> {
        let Some(tls) = self.tls.get() else {
            return Ok(None);
        };
        // A server may run on after its programs are gone; it is renewed all the same.
        let has_tls = self
            .installs
            .of(&home.version)
            .map_or(true, Install::has_tls);
        match (has_tls, tls.forced) {
            (true, _) => Ok(Some(tls.clone())),
            (false, false) => Ok(None),
            (false, true) => Err(EngineError::BadValue {
                what: "the version",
                value: home.version.clone(),
                why: "is a build without TLS, and clients without TLS are refused here",
            }),
        }
    }

    /// Whether clusters of a version can be served as this process serves them.
    pub(super) fn can_serve(&self, install: &Install) -> bool {
        self.tls.get().is_none_or(|tls| !tls.forced) || install.has_tls()
    }

    /// Checks a home before anything is done in it.
    pub(super) fn check(&self, home: &Home) -> Result<(), EngineError> {
        conf::check(home)?;
        check_server_user(home)
    }
}
