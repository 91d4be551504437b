//! The processes of one cluster, as MySQL's are: one, with threads.
use rustix::process::Signal;

use super::profile::PROFILE;
use crate::hosting::processes::ServerKind;

pub(super) static SERVER: ServerKind = ServerKind {
    program: PROFILE.program,
    tools: &[],
    // What it writes down tells nothing that its one process does not.
    written: |_| Ok(None),
    in_order: Signal::TERM,
    // It has no quicker end of its own.
    at_once: Signal::KILL,
};
