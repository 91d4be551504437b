//! The PostgreSQL programs on this machine.
//!
//! It does not know any cluster.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
};

use super::profile::PROFILE;
use crate::{error::EngineError, hosting::users::first_line};

/// Where Debian and Ubuntu put each major version: `<major>/bin` below it.
pub(super) const PACKAGES_DIR: &str = "/usr/lib/postgresql";
/// Users that programs can run as which refuse root and nameless ones.
pub(super) const HELPERS: [&str; 2] = ["postgres", "nobody"];
/// What a build without TLS says of it.
const NO_TLS: &str = "SSL is not supported by this build";
/// The oldest major with `pg_backup_start`.
const MAJOR_MIN: u32 = 15;

impl Default for Installs {
    fn default() -> Self {
        Self::new(None)
    }
}

/// One installed version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Install {
    pub(super) version: String,
    pub(super) major: u32,
    minor: u32,
    bin: PathBuf,
    has_tls: OnceLock<bool>,
}

impl Install {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Whether its servers can speak TLS; asked once, and not before that matters: a start waits for no more programs
    /// than it needs.
    pub(super) fn has_tls(&self) -> bool {
        *self.has_tls.get_or_init(|| {
            let has_tls = ask_tls(&self.bin);
            if !has_tls {
                tracing::warn!(folder = %self.bin.display(), version = self.version, "this build has no TLS; it is offered only where clients may come without (--cluster-force-tls false)");
            }
            has_tls
        })
    }
}

/// All installed versions, newest first; looked up once.
#[derive(Debug)]
pub(super) struct Installs {
    roots: Vec<PathBuf>,
    found: OnceLock<Vec<Install>>,
    libc: OnceLock<Option<String>>,
}

impl Installs {
    pub(super) fn new(extra: Option<PathBuf>) -> Self {
        Self::only(
            [PathBuf::from(PACKAGES_DIR)]
                .into_iter()
                .chain(extra)
                .collect(),
        )
    }

    pub(super) fn only(roots: Vec<PathBuf>) -> Self {
        Self {
            roots,
            found: OnceLock::new(),
            libc: OnceLock::new(),
        }
    }

    /// Where it looks.
    pub(super) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    pub(super) fn all(&self) -> &[Install] {
        self.found.get_or_init(|| {
            let mut found: Vec<Install> = self
                .roots
                .iter()
                .flat_map(|root| bin_folders(root))
                .filter_map(|bin| ask_version(&bin))
                .filter(|install| MAJOR_MIN <= install.major)
                .collect();
            found.sort_by_key(|install| std::cmp::Reverse((install.major, install.minor)));
            found
        })
    }

    /// The newest installed version of the major that `version` has.
    pub(super) fn of(&self, version: &str) -> Result<&Install, EngineError> {
        let major = version.split('.').next().unwrap_or_default();
        self.all()
            .iter()
            .find(|install| install.major.to_string() == major)
            .ok_or_else(|| EngineError::NotInstalled {
                title: PROFILE.title,
                series: major.chars().take(16).collect(),
                found: match self.all() {
                    [] => "none".to_owned(),
                    all => {
                        let texts: Vec<&str> = all.iter().map(|i| i.version.as_str()).collect();
                        texts.join(", ")
                    }
                },
            })
    }

    /// The C library's version, such as `glibc 2.36`: it sorts text for the server.
    pub(super) fn libc_version(&self) -> Option<&str> {
        self.libc
            .get_or_init(|| {
                first_line(crate::programs::command("/usr/bin/getconf").arg("GNU_LIBC_VERSION"))
            })
            .as_deref()
    }
}

fn bin_folders(root: &Path) -> Vec<PathBuf> {
    let mut bins = vec![root.to_path_buf(), root.join("bin")];
    if let Ok(entries) = fs::read_dir(root) {
        bins.extend(entries.flatten().map(|entry| entry.path().join("bin")));
    }
    // A program that cannot be looked at cannot be run either.
    let is_program = |path: PathBuf| fs::metadata(path).is_ok_and(|facts| facts.is_file());
    bins.retain(|bin| is_program(bin.join("postgres")) && is_program(bin.join("initdb")));
    bins.sort();
    bins
}

fn ask_version(bin: &Path) -> Option<Install> {
    let line = first_line(crate::programs::command(bin.join("postgres")).arg("--version"))?;
    let (major, minor) = parse_version(&line)?;
    Some(Install {
        version: format!("{major}.{minor}"),
        major,
        minor,
        bin: bin.to_path_buf(),
        has_tls: OnceLock::new(),
    })
}

/// Whether a build speaks TLS: one that does not says so when it is given the setting, before it
/// looks for the folder. What cannot be asked is taken for one that does, as packages are.
fn ask_tls(bin: &Path) -> bool {
    let asked = crate::programs::command(bin.join("postgres"))
        .args(["-C", "ssl", "--ssl=on", "-D", "/dev/null"])
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output();
    asked.map_or(true, |said| {
        !String::from_utf8_lossy(&said.stderr).contains(NO_TLS)
    })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`; development versions have no minor and are
/// left out.
fn parse_version(line: &str) -> Option<(u32, u32)> {
    let version = line.strip_prefix("postgres (PostgreSQL) ")?;
    let (major, minor) = version.split_whitespace().next()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some((15, 18))
        );
        assert_eq!(parse_version("postgres (PostgreSQL) 18.6"), Some((18, 6)));
        assert_eq!(parse_version("postgres (PostgreSQL) 19devel"), None);
        assert_eq!(parse_version("mysqld 8"), None);
    }
}
