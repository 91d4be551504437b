//! What the engine works with: programs, addresses, certificates.
//!
//! It does not know what is done with them.
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{install::Installs, options};
use crate::{
    certify::Tls,
    error::EngineError,
    home::Home,
    hosting::{
        address::Addresses, limited::Limited, lists::Lists, template::Templates,
        users::check_server_user,
    },
    programs::Programs,
};

/// Runs MySQL.
#[derive(Debug, Default)]
pub struct MySql {
    pub(super) installs: Installs,
    pub(super) addresses: Arc<Addresses>,
    pub(super) tls: OnceLock<Tls>,
    pub(super) templates: Templates,
    pub(super) limited: Limited,
    pub(super) lists: Lists,
    /// For how long a dump may shut out changes of tables.
    pub(super) lock_max: OnceLock<Duration>,
}

impl MySql {
    /// Uses the programs in the usual places, and those in `extra`: a folder with `bin/mysqld`. They are
    /// looked up when they are first needed.
    pub fn new(extra: Option<PathBuf>) -> Self {
        Self {
            installs: Installs::new(extra),
            ..Self::default()
        }
    }

    pub(super) fn of_programs(programs: &Programs) -> Self {
        Self {
            installs: Installs::of_programs(programs),
            ..Self::default()
        }
    }

    /// Checks a home before anything is done in it.
    pub(super) fn check(&self, home: &Home) -> Result<(), EngineError> {
        options::check(home)?;
        check_server_user(home)
    }
}
