//! What dumps have in common of engines whose clusters are folders of files: how files get to the sink, what
//! reading them came upon, and how their server is waited for.
//!
//! It knows no particular database, nor why files are a consistent state.
mod failure;
mod writer;

use tokio::runtime::Handle;

use crate::{
    Home,
    error::EngineError,
    folder::Folder,
    hosting::{hold::Hold, whole::is_whole},
};

pub(crate) use failure::FirstFailure;
pub(crate) use writer::{DumpWriter, STOP_POLL};

/// One step of a dump, with what a file is to its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item<R> {
    Folder(String),
    File {
        folder: String,
        name: String,
        role: R,
    },
}

/// A path below the data folder.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

/// The data folder of a cluster that is whole.
///
/// # Errors
/// [`EngineError::NotWhole`], and when it cannot be opened.
pub(crate) fn data_of(home: &Home) -> Result<Folder, EngineError> {
    if !is_whole(home)? {
        return Err(EngineError::NotWhole {
            home: home.dir.clone(),
        });
    }
    Folder::open(&home.data()).map_err(|source| EngineError::io("open", home.data(), source))
}

/// Holds a cluster that has no server to the end of its dump: no start may come between. None when it has one.
///
/// # Errors
/// [`EngineError::Busy`] when a start came between; what `has_server` ends in.
pub(crate) fn hold_stopped(
    runtime: &Handle,
    home: &Home,
    has_server: impl Fn() -> Result<bool, EngineError>,
) -> Result<Option<Hold>, EngineError> {
    if has_server()? {
        return Ok(None);
    }
    let held = runtime.block_on(Hold::take(home))?;
    match has_server()? {
        true => Err(EngineError::Busy {
            home: home.dir.clone(),
        }),
        false => Ok(Some(held)),
    }
}
