//! Keeps what this process has in memory to itself: no core file, and no look from outside.
//!
//! It does not know which secrets lie there.
use rustix::{
    io::Errno,
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// No core file is written of this process, and no other one of its user can trace it or read its
/// memory and environment.
///
/// That does not pass on to programs that this one starts: a cluster's server keeps the rules for
/// core files that it would have. The limit RLIMIT_CORE would pass on, and a program that takes core
/// files at a pipe does not mind it; so it is only lowered where the system knows nothing better.
///
/// # Errors
/// When the system takes neither.
pub(crate) fn hide() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).or_else(|_| {
        let maximum = getrlimit(Resource::Core).maximum;
        let none = Rlimit {
            current: Some(0),
            maximum,
        };
        setrlimit(Resource::Core, none)
    })
}
