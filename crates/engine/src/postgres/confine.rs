//! Which processes a cluster's limits are for.
//!
//! It does not know what holds them to those.
use std::ffi::OsString;

use super::{handle::Postgres, process};
use crate::{confinement::Confinement, error::EngineError, home::Home};

impl Postgres {
    /// The words before a server's own that begin it under its limits.
    pub(super) fn limiting_words(&self) -> Vec<OsString> {
        self.confinement
            .get()
            .map(Confinement::words)
            .unwrap_or_default()
    }

    /// Puts one process, which has just begun, under the cluster's limits.
    pub(super) fn confine_process(&self, home: &Home, pid: Option<u32>) {
        let Some(confinement) = self.confinement.get() else {
            return;
        };
        let pids: Vec<u32> = pid.into_iter().collect();
        place(confinement, home, &pids);
    }

    /// Puts all that a cluster runs under its limits: an adopted server may have begun without them.
    ///
    /// # Errors
    /// When its processes cannot be told.
    pub(super) async fn confine_all(&self, home: &Home) -> Result<(), EngineError> {
        if let Some(confinement @ Confinement::Groups { .. }) = self.confinement.get() {
            let pids = process::looked(home).await?.pids();
            place(confinement, home, &pids);
        }
        Ok(())
    }

    /// Lets go of the group of a cluster that has ended for good.
    pub(super) fn leave_group(&self, home: &Home) {
        if let Some(confinement) = self.confinement.get() {
            confinement.release(&group(home));
        }
    }
}

/// A cluster runs all the same when it cannot be bounded.
fn place(confinement: &Confinement, home: &Home, pids: &[u32]) {
    if let Err(error) = confinement.place(&group(home), pids) {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(home = %home.dir.display(), %error, cause, "a cluster is not held to its limits");
    }
}

/// The folder of the socket is one server's alone, and has a short name.
fn group(home: &Home) -> String {
    let name = home.socket_dir.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
