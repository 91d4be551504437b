//! The MySQL programs on this machine.
//!
//! It does not know any cluster.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::profile::{PROFILE, series};
use crate::{error::EngineError, hosting::users::first_line, programs::Programs};

/// Where `scripts/get-mysql` puts MySQL, and where distributions and Oracle's archives do.
const PLACES: [&str; 5] = [
    "/usr/local/lib/snapferry/mysql",
    "/usr",
    "/usr/local",
    "/usr/local/mysql",
    "/opt/mysql",
];
/// Folders of a place that the server's program may lie in; distributions have it in the last two.
const BIN: [&str; 4] = ["", "bin", "sbin", "libexec"];
/// Folders of a place that its loadable modules may lie in.
const MODULES: [&str; 6] = [
    "lib/plugin",
    "lib/mysql/plugin",
    "lib64/mysql/plugin",
    "lib/x86_64-linux-gnu/mysql/plugin",
    "lib/aarch64-linux-gnu/mysql/plugin",
    "lib64/plugin",
];
/// Folders of a place that its messages and character sets may lie in.
const SHARED: [&str; 3] = ["share", "share/mysql", "share/mysql-server"];
/// The module by which the administrator's user is told from others.
pub(super) const SOCKET_MODULE: &str = "auth_socket.so";
/// The oldest version whose log can be held back for a dump.
const VERSION_MIN: Version = (8, 0, 30);

type Version = (u32, u32, u32);

/// One installed version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Install {
    pub(super) version: String,
    numbers: Version,
    /// The server's program.
    pub(super) program: PathBuf,
    /// The folder of its loadable modules.
    pub(super) modules: PathBuf,
    /// The folder that it is installed in.
    pub(super) root: PathBuf,
    /// Where its messages and character sets are, if not where it was built to look for them.
    pub(super) shared: Option<PathBuf>,
}

/// All installed versions, newest first; looked up once.
#[derive(Debug, Default)]
pub(super) struct Installs {
    roots: Vec<PathBuf>,
    found: OnceLock<Vec<Install>>,
}

impl Installs {
    /// Those in the usual places and in `extra`.
    pub(super) fn new(extra: Option<PathBuf>) -> Self {
        let usual = PLACES.map(PathBuf::from);
        Self::only(extra.into_iter().chain(usual).collect())
    }

    /// Those in these folders.
    pub(super) fn only(roots: Vec<PathBuf>) -> Self {
        Self {
            roots,
            found: OnceLock::new(),
        }
    }

    /// Those that programs are looked for in.
    pub(super) fn of_programs(programs: &Programs) -> Self {
        let usual = PLACES.map(PathBuf::from).to_vec();
        let first = programs.instead.clone().map_or(usual, |only| vec![only]);
        // What somebody named counts for more than what happens to be there.
        Self::only(programs.extra.iter().cloned().chain(first).collect())
    }

    /// Where it looks.
    pub(super) fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    pub(super) fn all(&self) -> &[Install] {
        self.found.get_or_init(|| {
            let mut found: Vec<Install> = Vec::new();
            for install in self.roots.iter().filter_map(|root| look_in(root)) {
                if found.iter().all(|known| known.numbers != install.numbers) {
                    found.push(install);
                }
            }
            found.sort_by_key(|install| std::cmp::Reverse(install.numbers));
            found
        })
    }

    /// The installed version that serves a cluster of `version`: the newest of its series.
    pub(super) fn of(&self, version: &str) -> Result<&Install, EngineError> {
        let wanted = series(version);
        self.all()
            .iter()
            .find(|install| series(&install.version) == wanted)
            .ok_or_else(|| EngineError::NotInstalled {
                title: PROFILE.title,
                series: wanted.chars().take(16).collect(),
                found: match self.all() {
                    [] => "none".to_owned(),
                    all => {
                        let texts: Vec<&str> = all.iter().map(|i| i.version.as_str()).collect();
                        texts.join(", ")
                    }
                },
            })
    }
}

fn look_in(root: &Path) -> Option<Install> {
    let is_file = |path: &Path| fs::metadata(path).is_ok_and(|facts| facts.is_file());
    let program = BIN
        .iter()
        .map(|folder| root.join(folder).join(PROFILE.program))
        .find(|program| is_file(program))?;
    let mut asked = crate::programs::command(&program);
    let line = first_line(asked.args(["--no-defaults", "--version"]))?;
    let numbers = parse_version(&line).filter(|numbers| VERSION_MIN <= *numbers)?;
    let modules = MODULES.iter().map(|folder| root.join(folder));
    let Some(modules) = modules
        .into_iter()
        .find(|folder| is_file(&folder.join(SOCKET_MODULE)))
    else {
        tracing::warn!(program = %program.display(), "a MySQL without {SOCKET_MODULE} cannot be used");
        return None;
    };
    let shared = SHARED.iter().map(|folder| root.join(folder));
    let shared = shared
        .into_iter()
        .find(|folder| is_file(&folder.join("charsets/Index.xml")));
    let (major, minor, patch) = numbers;
    Some(Install {
        version: format!("{major}.{minor}.{patch}"),
        numbers,
        program,
        modules,
        root: root.to_owned(),
        shared,
    })
}

/// Reads `/usr/sbin/mysqld  Ver 8.0.46-0ubuntu1 for Linux on x86_64 ((Ubuntu))`. MariaDB calls itself so, too,
/// and is another database.
fn parse_version(line: &str) -> Option<Version> {
    let (_, told) = line.split_once("Ver ")?;
    if told.contains("MariaDB") {
        return None;
    }
    let end = told.find(|c: char| !c.is_ascii_digit() && c != '.');
    let mut numbers = told[..end?].split('.').map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_mariadb_is_none() {
        for (line, expected) in [
            (
                "/x/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))",
                Some((9, 7, 4)),
            ),
            (
                "mysqld  Ver 8.0.36-28 for Linux on x86_64 (Percona Server (GPL))",
                Some((8, 0, 36)),
            ),
            (
                "mysqld  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu",
                None,
            ),
            ("mysqld  Ver 9.7 for Linux", None),
            ("postgres (PostgreSQL) 15.18", None),
        ] {
            assert_eq!(parse_version(line), expected, "{line}");
        }
    }
}
