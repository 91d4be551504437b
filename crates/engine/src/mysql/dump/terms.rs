//! What a dump goes by that is the engine's or its caller's.
//!
//! It does not know what a dump does.
use std::time::Duration;

use super::super::handle::MySql;
use crate::{EngineError, Home};

/// How long another dump of a cluster is waited for when nothing else was said.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// For how long changes of tables and accounts may be shut out when nothing else was said.
const LOCK_MAX: Duration = Duration::from_secs(60 * 60);

/// What a dump goes by that is the engine's.
#[derive(Debug)]
pub(in crate::mysql) struct Terms {
    /// The version of the programs.
    pub(super) version: String,
    pub(super) lock_max: Duration,
    /// How long another dump of the cluster is waited for.
    pub(in crate::mysql) busy_wait: Duration,
}

impl MySql {
    /// The terms for dumps of a home.
    ///
    /// # Errors
    /// [`EngineError::NotInstalled`].
    pub(in crate::mysql) fn dump_terms(&self, home: &Home) -> Result<Terms, EngineError> {
        Ok(Terms {
            version: self.installs.of(&home.version)?.version.clone(),
            lock_max: self.lock_max.get().copied().unwrap_or(LOCK_MAX),
            busy_wait: BUSY_WAIT,
        })
    }
}
