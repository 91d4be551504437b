//! Where databases' programs are looked for.
//!
//! It does not know their names.
use std::{ffi::OsStr, path::PathBuf, process::Command};

/// Where databases' programs are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// Instead of where each database's packages put them.
    pub instead: Option<PathBuf>,
    /// As well: an engine takes of a folder what is its own.
    pub extra: Vec<PathBuf>,
}

impl Programs {
    /// The folders for an engine whose packages use this one.
    pub(crate) fn folders(&self, packages: &str) -> Vec<PathBuf> {
        let first = self
            .instead
            .clone()
            .unwrap_or_else(|| PathBuf::from(packages));
        [first].into_iter().chain(self.extra.clone()).collect()
    }
}

/// A program to be begun, by its path; every one of an engine's begins here.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_in_place_of_packages_or_as_well() {
        let folders = |instead: Option<&str>, extra: Option<&str>| {
            let programs = Programs {
                instead: instead.map(PathBuf::from),
                extra: extra.map(PathBuf::from).into_iter().collect(),
            };
            programs.folders("/p")
        };
        assert_eq!(folders(None, None), [PathBuf::from("/p")]);
        let both = ["/i", "/x"].map(PathBuf::from);
        assert_eq!(folders(Some("/i"), Some("/x")), both);
    }
}
