//! The processes of one cluster, as PostgreSQL's are: the first one writes a lock file.
use std::{
    io::{self, ErrorKind, Read},
    time::Duration,
};

use rustix::{io::Errno, process::Signal};

use super::profile::PROFILE;
pub(super) use crate::hosting::processes::Process;
use crate::{
    error::EngineError,
    folder::Folder,
    home::Home,
    hosting::processes::{Processes, ServerKind},
    proc::Unreadable,
};

pub(super) static SERVER: ServerKind = ServerKind {
    program: PROFILE.program,
    tools: &["pg_basebackup", "pg_rewind"],
    written: |home| Ok(read_lock_file(home)?.map(|lock| lock.pid)),
    in_order: Signal::INT,
    at_once: Signal::QUIT,
};

/// See [`ServerKind::first`].
pub(super) fn postmaster(home: &Home) -> Result<Option<Process>, EngineError> {
    SERVER.first(home)
}

/// See [`ServerKind::look`].
pub(super) fn look(home: &Home) -> Result<Processes, EngineError> {
    SERVER.look(home)
}

/// See [`ServerKind::looked`].
pub(super) async fn looked(home: &Home) -> Result<Processes, EngineError> {
    SERVER.looked(home).await
}

/// See [`ServerKind::check_ended`].
pub(super) fn check_ended(home: &Home) -> Result<(), EngineError> {
    SERVER.check_ended(home)
}

/// See [`ServerKind::end`].
pub(super) async fn end(home: &Home, patience: Duration) -> Result<(), EngineError> {
    SERVER.end(home, patience).await
}

/// See [`ServerKind::end_orphans`].
pub(super) async fn end_orphans(home: &Home) -> Result<(), EngineError> {
    SERVER.end_orphans(home).await
}

/// What a server wrote into `postmaster.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockFile {
    pub(super) pid: u32,
    pub(super) port: Option<u16>,
    pub(super) socket_dir: Option<String>,
    /// The first address that it listens on.
    pub(super) host: Option<String>,
    /// The segment of shared memory that it made.
    pub(super) shared_memory: Option<u64>,
}

/// Reads `postmaster.pid`, if it is there and makes sense. The server's user may have put anything
/// in its place.
///
/// # Errors
/// When it may be there and cannot be read.
pub(super) fn read_lock_file(home: &Home) -> Result<Option<LockFile>, Unreadable> {
    let path = home.data().join("postmaster.pid");
    let read = || -> io::Result<Vec<u8>> {
        let file = Folder::open(&home.data())?.file("postmaster.pid")?;
        let mut bytes = Vec::new();
        file.take(4096).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = match read() {
        Ok(bytes) => bytes,
        Err(error) if is_no_file(&error) => return Ok(None),
        Err(source) => return Err(Unreadable { path, source }),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.trim().parse().ok());
    Ok(pid.map(|pid| LockFile {
        pid,
        port: lines.nth(2).and_then(|line| line.trim().parse().ok()),
        socket_dir: lines.next().map(|line| line.trim().to_owned()),
        host: lines.next().map(|line| line.trim().to_owned()),
        shared_memory: lines
            .next()
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok()),
    }))
}

/// Whether there is nothing of that name, or something that no server writes.
fn is_no_file(error: &io::Error) -> bool {
    error.kind() == ErrorKind::InvalidInput
        || matches!(
            Errno::from_io_error(error),
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::ISDIR)
        )
}

/// Tells a running server to read its settings again.
///
/// # Errors
/// When the server cannot be told, or not be signalled.
pub(super) fn reload(home: &Home) -> Result<(), EngineError> {
    match postmaster(home)? {
        Some(postmaster) => postmaster.signal(home, Signal::HUP),
        None => Ok(()),
    }
}
