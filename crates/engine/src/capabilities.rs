//! Which of root's rights this process has: a container or a unit may have taken some away.
//!
//! It does not know which step needs which right.
use std::{fmt, io};

use model::Told;
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

/// Rights of root that this process does not have, where that may be why the system refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lacking(Vec<&'static str>);

impl Lacking {
    /// Whether none is lacking, or it is not why.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the account: its operator can mend it, once told what is missing.
    pub(crate) fn told(&self) -> Told {
        let mut words = vec!["the host does not give Snapferry"];
        for (at, name) in self.0.iter().enumerate() {
            words.extend((0 < at).then_some("and"));
            words.push(name);
        }
        words.push(
            "which it needs for clusters' files and processes, and its operator can give back",
        );
        Told::of(&words)
    }
}

/// In parentheses, or nothing.
impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        write!(
            f,
            " (this process is root without {}: give it back, with CapabilityBoundingSet= of a systemd unit or --cap-add of a container)",
            self.0.join(", ")
        )
    }
}

/// For a refusal of the system's: which rights of root this process lacks.
pub(crate) fn explain(refusal: &io::Error) -> Lacking {
    if refusal.kind() != io::ErrorKind::PermissionDenied || !rustix::process::geteuid().is_root() {
        return Lacking::default();
    }
    let missing = missing_capabilities().unwrap_or_default();
    Lacking(missing.into_iter().map(|one| one.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_are_explained() {
        let other = io::Error::from(io::ErrorKind::NotFound);
        assert!(explain(&other).is_empty());
        assert_eq!(explain(&other).to_string(), "");
    }

    #[test]
    fn both_readers_are_told_what_is_lacking() {
        let lacking = Lacking(vec!["CAP_KILL", "CAP_CHOWN"]);
        assert!(lacking.to_string().contains("CAP_KILL, CAP_CHOWN"));
        assert!(lacking.told().as_str().contains("CAP_KILL and CAP_CHOWN"));
    }

    #[test]
    fn every_right_is_named_once() {
        let mut names: Vec<&str> = NEEDED.iter().map(|(_, told)| told.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NEEDED.len());
    }
}
