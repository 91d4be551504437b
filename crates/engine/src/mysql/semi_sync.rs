//! Commits that wait until a reader has them too, before their clients hear of them: the server's own semi-synchronous
//! replication, by the modules that come with it.
//!
//! It does not know who the readers are: the server counts those that are connected and say that they have a commit.
//! A reader says so once the commit is in its own log of what it heard.
use super::install::Install;
use crate::{error::EngineError, home::Home};

/// The modules of a server that waits, and of one that is waited for. A server may become the other.
pub(super) const MODULES: [&str; 2] = ["semisync_source.so", "semisync_replica.so"];

/// How commits wait, where they do.
const WAITS: [(&str, &str); 5] = [
    // Others do not see it before it is in two places.
    ("rpl_semi_sync_source_wait_point", "AFTER_SYNC"),
    ("rpl_semi_sync_source_wait_for_replica_count", "1"),
    ("rpl_semi_sync_source_wait_no_replica", "ON"),
    // The longest that there is, in milliseconds: 49 days.
    ("rpl_semi_sync_source_timeout", "4294967295"),
    ("rpl_semi_sync_replica_enabled", "ON"),
];
/// Whether they do.
pub(super) const ENABLED: &str = "rpl_semi_sync_source_enabled";

/// The settings of a server that logs and serves clients; none where the modules are not installed.
///
/// # Errors
/// When its commits are to wait, and the modules are not installed.
pub(super) fn settings(
    home: &Home,
    install: &Install,
) -> Result<Option<Vec<(&'static str, &'static str)>>, EngineError> {
    let waits = !home.replication.synchronous.is_empty();
    for name in MODULES {
        let path = install.modules.join(name);
        let found = path.try_exists();
        if !found.map_err(|source| EngineError::io("look at", &path, source))? {
            return match waits {
                true => Err(not_installed()),
                false => Ok(None),
            };
        }
    }
    let enabled = (ENABLED, if waits { "ON" } else { "OFF" });
    Ok(Some(WAITS.into_iter().chain([enabled]).collect()))
}

/// A server without the modules.
pub(super) fn not_installed() -> EngineError {
    EngineError::BadValue {
        what: "the server's module",
        value: MODULES[0].to_owned(),
        why: "is not installed, and a Multi-AZ DB cluster needs it",
    }
}
