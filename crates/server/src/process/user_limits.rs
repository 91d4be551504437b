//! How many processes the OS user of one cluster may have: a tenant's programs must not take all
//! that the machine has.
//!
//! Root is not bound by it; what this process starts as another user inherits it.
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

/// A database may have one for each session and each of its workers, at most some hundreds.
const PROCESSES_MAX: u64 = 2_000;

/// Bounds the processes of each user that this process starts programs as.
pub(crate) fn bound_processes(asked: Option<u32>) {
    let most = asked.map_or(PROCESSES_MAX, u64::from);
    let found = getrlimit(Resource::Nproc);
    if !geteuid().is_root() || found.maximum.is_some_and(|maximum| maximum <= most) {
        return;
    }
    let bound = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    if let Err(error) = setrlimit(Resource::Nproc, bound) {
        tracing::warn!(%error, "clusters' users may have any number of processes");
    }
}
