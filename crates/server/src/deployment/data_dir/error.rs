//! What is wrong with a data folder, or with a private file, and what to do about it.
use std::{
    io,
    path::{Path, PathBuf},
};

/// What is wrong with a data folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    /// A step failed.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was to be done.
        verb: &'static str,
        /// To what.
        path: PathBuf,
        source: io::Error,
    },
    /// No home, no default.
    #[error("there is no home folder to put data into")]
    NoHome,
    /// Nothing was ever served from here.
    #[error("there is no Snapferry data folder at {}", .0.display())]
    NotThere(PathBuf),
    /// Another program's files.
    #[error("{} holds files that are not Snapferry's", .0.display())]
    Foreign(PathBuf),
    /// The mark does not read.
    #[error("{} does not read as a data folder's mark", path.display())]
    Mark {
        /// The mark.
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    /// Written by a later Snapferry.
    #[error("the data folder {} has format {format}, and this Snapferry knows formats up to {known}", path.display())]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest that this program reads.
        known: u32,
    },
    /// Closed and dev folders are never mixed.
    #[error("the data folder {} {}", path.display(), if *dev { "was made in dev mode, which checks no signatures, and this server would run in closed mode" } else { "was made in closed mode, where signatures are checked, and this server would run in dev mode" })]
    OtherMode {
        /// The folder.
        path: PathBuf,
        /// Whether it is a dev folder.
        dev: bool,
    },
    /// A second server.
    #[error("another server{} has the data folder {}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The server, if it said who it is.
        pid: Option<u32>,
    },
    /// A secret that is none.
    #[error("{} can be read or changed by other users", .0.display())]
    OpenSecret(PathBuf),
}

impl DataDirError {
    pub(crate) fn io(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Some(format!(
                    "choose a folder that you may write with --data DIR, or give yourself {}",
                    path.display()
                ))
            }
            Self::Io { source, .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory
                ) =>
            {
                Some("a file is there; choose another folder with --data DIR".to_owned())
            }
            Self::Io { .. } | Self::Mark { .. } => None,
            Self::NoHome => Some("name a folder with --data DIR".to_owned()),
            Self::NotThere(_) => Some(
                "`snapferry serve` makes it at its first start; name another one with --data DIR"
                    .to_owned(),
            ),
            Self::Foreign(_) => Some("choose an empty or new folder with --data DIR".to_owned()),
            Self::NewerFormat { .. } => {
                Some("use the Snapferry that wrote it, or a later one".to_owned())
            }
            Self::OtherMode { dev: true, .. } => Some(
                "add --dev to go on with it, or choose another folder with --data DIR".to_owned(),
            ),
            Self::OtherMode { dev: false, .. } => Some(
                "leave --dev out to go on with it, or choose another folder with --data DIR"
                    .to_owned(),
            ),
            Self::Locked { pid, .. } => Some(match pid {
                Some(pid) => {
                    format!("stop it with `kill {pid}`, or choose another folder with --data DIR")
                }
                None => "stop it, or choose another folder with --data DIR".to_owned(),
            }),
            Self::OpenSecret(path) => Some(format!(
                "`chmod 600 {}`, if you trust what it holds",
                path.display()
            )),
        }
    }
}
