//! Where an installed version has its programs, shared files and libraries, as its own `pg_config`
//! says.
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::install::Install;

/// The program that tells where a version's files are.
pub(super) const LOCATOR: &str = "pg_config";

/// Where a version has what.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) programs: PathBuf,
    pub(super) shared: PathBuf,
    pub(super) libraries: PathBuf,
}

/// Those of some loadable libraries that a version has. Blocks.
pub(super) fn installed(install: &Install, names: &[&'static str]) -> Vec<&'static str> {
    Places::of(install).map_or_else(|_| Vec::new(), |places| places.having(names))
}

impl Places {
    /// Asks the version itself. Blocks.
    pub(super) fn of(install: &Install) -> io::Result<Self> {
        let text = told(
            &install.program(LOCATOR),
            &["--bindir", "--sharedir", "--pkglibdir"],
        )?;
        let lines: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
        let [programs, shared, libraries] = <[PathBuf; 3]>::try_from(lines)
            .map_err(|_| io::Error::other("pg_config says something else"))?;
        Ok(Self {
            programs,
            shared,
            libraries,
        })
    }

    /// Those libraries that are there.
    pub(super) fn having(&self, names: &[&'static str]) -> Vec<&'static str> {
        let is_there = |name: &&str| {
            let file = self.libraries.join(format!("{name}.so"));
            fs::metadata(file).is_ok_and(|facts| facts.is_file())
        };
        names.iter().copied().filter(is_there).collect()
    }
}

/// What a program says, if it ends well.
pub(super) fn told(program: &Path, words: &[&str]) -> io::Result<String> {
    let output = crate::programs::command(program)
        .args(words)
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(io::Error::other(format!(
            "{}: {}",
            program.display(),
            output.status
        ))),
    }
}
