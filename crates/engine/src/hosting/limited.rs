//! Which processes a cluster's limits are for.
//!
//! It does not know what holds them to those.
use std::{ffi::OsString, sync::OnceLock};

use super::processes::ServerKind;
use crate::{confinement::Confinement, error::EngineError, home::Home};

/// What holds an engine's servers to their limits, once that was said.
#[derive(Debug, Default)]
pub(crate) struct Limited(OnceLock<Confinement>);

impl Limited {
    /// Says it. The first one stays.
    pub(crate) fn set(&self, confinement: Confinement) {
        let _ = self.0.set(confinement);
    }

    /// The words before a server's own that begin it under its limits.
    pub(crate) fn words(&self) -> Vec<OsString> {
        self.0.get().map(Confinement::words).unwrap_or_default()
    }

    /// Puts one process, which has just begun, under the cluster's limits.
    pub(crate) fn place_one(&self, home: &Home, pid: Option<u32>) {
        if let Some(confinement) = self.0.get() {
            let pids: Vec<u32> = pid.into_iter().collect();
            place(confinement, home, &pids);
        }
    }

    /// Puts all that a cluster runs under its limits: an adopted server may have begun without them.
    ///
    /// # Errors
    /// When its processes cannot be told.
    pub(crate) async fn place_all(
        &self,
        kind: &'static ServerKind,
        home: &Home,
    ) -> Result<(), EngineError> {
        if let Some(confinement @ Confinement::Groups { .. }) = self.0.get() {
            let pids = kind.looked(home).await?.pids();
            place(confinement, home, &pids);
        }
        Ok(())
    }

    /// Lets go of the group of a cluster that has ended for good.
    pub(crate) fn leave(&self, home: &Home) {
        if let Some(confinement) = self.0.get() {
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
