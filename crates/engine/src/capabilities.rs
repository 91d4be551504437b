//! Which of root's rights this process has: a container or a unit may have taken some away.
//!
//! It does not know which step needs which right.
use std::io;

use rustix::thread::{CapabilitySet, capabilities};

/// A right that clusters with OS users of their own need, and that this process does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingCapability {
    /// Such as `CAP_KILL`.
    pub name: &'static str,
    /// What does not work without it.
    pub without: &'static str,
}

const NEEDED: [(CapabilitySet, MissingCapability); 7] = [
    (
        CapabilitySet::SETUID,
        MissingCapability {
            name: "CAP_SETUID",
            without: "no cluster can be made, restored or started",
        },
    ),
    (
        CapabilitySet::SETGID,
        MissingCapability {
            name: "CAP_SETGID",
            without: "no cluster can be made, restored or started",
        },
    ),
    (
        CapabilitySet::CHOWN,
        MissingCapability {
            name: "CAP_CHOWN",
            without: "no cluster can be made or restored",
        },
    ),
    (
        CapabilitySet::DAC_OVERRIDE,
        MissingCapability {
            name: "CAP_DAC_OVERRIDE",
            without: "no cluster can be made, restored, started, snapshotted or deleted",
        },
    ),
    (
        CapabilitySet::FOWNER,
        MissingCapability {
            name: "CAP_FOWNER",
            without: "no cluster can be made or restored",
        },
    ),
    (
        CapabilitySet::KILL,
        MissingCapability {
            name: "CAP_KILL",
            without: "no cluster's server can be stopped, and so none be deleted",
        },
    ),
    (
        CapabilitySet::SYS_PTRACE,
        MissingCapability {
            name: "CAP_SYS_PTRACE",
            without: "no running server can be told from another, and so none be adopted, stopped or deleted",
        },
    ),
];

/// The rights that clusters with OS users of their own need and this process does not have.
///
/// # Errors
/// When the system does not tell.
pub fn missing_capabilities() -> io::Result<Vec<MissingCapability>> {
    let held = capabilities(None)?.effective;
    let missing = NEEDED.iter().filter(|(right, _)| !held.contains(*right));
    Ok(missing.map(|(_, told)| *told).collect())
}

/// For a refusal of the system's: which rights of root this process lacks, in parentheses.
pub(crate) fn explain(refusal: &io::Error) -> String {
    if refusal.kind() != io::ErrorKind::PermissionDenied || !rustix::process::geteuid().is_root() {
        return String::new();
    }
    let names: Vec<&str> = match missing_capabilities() {
        Ok(missing) => missing.iter().map(|one| one.name).collect(),
        Err(_) => return String::new(),
    };
    if names.is_empty() {
        return String::new();
    }
    format!(
        " (this process is root without {}: give it back, with CapabilityBoundingSet= of a systemd unit or --cap-add of a container)",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_are_explained() {
        let other = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(explain(&other), "");
    }

    #[test]
    fn every_right_is_named_once() {
        let mut names: Vec<&str> = NEEDED.iter().map(|(_, told)| told.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NEEDED.len());
    }
}
