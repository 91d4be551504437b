//! What holds clusters to their limits on this machine, found once and told.
use std::error::Error;

use engine::{Confinement, EngineRegistry, Limits};
use rustix::process::geteuid;

/// Finds what holds clusters to their limits, says so, and hands it to every engine.
pub(crate) fn confine(engines: &EngineRegistry, limits: Limits) {
    let (confinement, why) = Confinement::of(limits);
    if limits != Limits::default() {
        let memory = limits.memory_bytes_max;
        let processes = limits.processes_max;
        tracing::info!(
            memory,
            processes,
            by = %confinement,
            "clusters are bounded"
        );
    }
    if let Some(why) = why {
        let cause = why.source().map(ToString::to_string);
        tracing::warn!(%why, cause, "there are no control groups for clusters, so each process is bounded, and not a cluster as a whole");
        if limits.memory_bytes_max.is_some() && confinement == Confinement::Nothing {
            tracing::warn!(
                "clusters' memory is not bounded: install util-linux, which has prlimit"
            );
        }
        if limits.processes_max.is_some() && !geteuid().is_root() {
            tracing::warn!(
                "clusters' processes are not bounded: without root they have no users of their own"
            );
        }
    }
    for engine in engines.all() {
        engine.confine(confinement.clone());
    }
}
