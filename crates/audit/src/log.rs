//! The log that a process writes: lines gathered in memory, written by one at a time, synced a
//! moment later.
//!
//! It does not know what a record means. Who has to know that a record is kept waits for
//! [`Kept::wait`]: then the file has it, and a killed process loses nothing; what a machine that
//! loses its power loses is what was written in the last [`SYNC_AFTER`].
//!
//! Invariants: one process has the folder. Lines stand in the file in their chain's order. While the
//! file takes nothing, lines stay in memory up to [`BUFFER_BYTES_MAX`], and [`AuditLog::check`]
//! says why.
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;

use crate::{
    chain::{Head, Link, NOTHING, file_name, files, hash_of},
    record::Record,
};

/// A file that is larger is followed by a next one.
pub const ROTATE_BYTES: u64 = 64 << 20;
/// Lines that are in no file yet, bytes.
const BUFFER_BYTES_MAX: usize = 4 << 20;
/// What is written reaches the disk after so long, at the latest.
const SYNC_AFTER: Duration = Duration::from_millis(500);
/// Records of those who proved nothing, in one second.
const STRANGERS_PER_SEC: u32 = 20;
const LOCK: &str = "lock";

/// Why nothing is written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The folder or a file of it.
    #[error("the audit log in {}: {doing}: {source}", folder.display())]
    Io {
        /// The log's folder.
        folder: PathBuf,
        /// What failed.
        doing: &'static str,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Another process has it.
    #[error("the audit log in {} is another process's", folder.display())]
    Taken {
        /// The log's folder.
        folder: PathBuf,
    },
}

/// Where the next line goes, and what waits.
struct State {
    chain: String,
    /// The last line's number and hash.
    seq: u64,
    hash: String,
    /// Lines that are in no file yet, each with its end.
    buffer: Vec<u8>,
    /// The number of the last line that a file has.
    written: u64,
    file: File,
    /// What the file has of whole lines.
    file_bytes: u64,
    is_flushing: bool,
    sync_waits: bool,
    failure: Option<AuditError>,
    is_closed: bool,
    /// Records that were left out since the last line.
    omitted: u64,
    /// The second of the last stranger's record, and how many of that second there are.
    strangers: (i64, u32),
}

/// The log of one process.
#[derive(Clone)]
pub struct AuditLog(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    rotate_bytes: u64,
    state: Mutex<State>,
    written: watch::Sender<u64>,
    /// Locked until the log is closed, or the process ends.
    lock: File,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog")
            .field("folder", &self.0.folder)
            .finish_non_exhaustive()
    }
}

/// A record on its way into a file.
#[derive(Debug)]
pub struct Kept {
    log: AuditLog,
    seq: u64,
}

impl Kept {
    /// Waits until the file has it.
    ///
    /// # Errors
    /// When the file takes nothing: the record waits in memory.
    pub async fn wait(self) -> Result<(), AuditError> {
        let mut written = self.log.0.written.subscribe();
        loop {
            if self.seq <= *written.borrow_and_update() {
                return Ok(());
            }
            if let Some(failure) = self.log.0.state().failure.clone() {
                return Err(failure);
            }
            if written.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

impl AuditLog {
    /// Opens the log in a folder, which is made when it is missing; `draw` names a new chain.
    ///
    /// # Errors
    /// When the folder or its last file cannot be used, or another process has it.
    pub fn open(
        folder: &Path,
        rotate_bytes: u64,
        draw: impl FnOnce() -> String,
    ) -> Result<Self, AuditError> {
        let failed = |doing| {
            move |source: io::Error| AuditError::Io {
                folder: folder.to_owned(),
                doing,
                source: Arc::new(source),
            }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("making it"))?;
        let lock = private(OpenOptions::new().create(true).write(true).truncate(false))
            .open(folder.join(LOCK))
            .map_err(failed("locking it"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => AuditError::Taken {
                folder: folder.to_owned(),
            },
            error => failed("locking it")(error.into()),
        })?;
        let found = files(folder).map_err(failed("listing it"))?;
        let state = match found.last() {
            Some((first, path)) => go_on(*first, path, &found, draw),
            None => begin(folder, draw),
        };
        let state = state.map_err(failed("reading its end"))?;
        let (written, _) = watch::channel(state.written);
        Ok(Self(Arc::new(Shared {
            folder: folder.to_owned(),
            rotate_bytes,
            state: Mutex::new(state),
            written,
            lock,
        })))
    }

    /// Adds a record, which is written soon; must be called where tokio runs. None when there is no
    /// room for it, since nothing could be written for long.
    pub fn append(&self, record: &Record) -> Option<Kept> {
        let text = record.to_json();
        let mut state = self.0.state();
        if state.is_closed || BUFFER_BYTES_MAX < state.buffer.len() + text.len() {
            state.omitted += 1;
            return None;
        }
        let seq = state.add(&text);
        if !state.is_flushing && state.failure.is_none() {
            state.is_flushing = true;
            let log = self.clone();
            tokio::task::spawn_blocking(move || log.flush());
        }
        Some(Kept {
            log: self.clone(),
            seq,
        })
    }

    /// Whether a record is to be written of one who proved nothing, in this second: who floods fills
    /// no disk. One that is left out is counted, and the next record says how many were.
    pub fn has_room_for_stranger(&self, second: i64) -> bool {
        let mut state = self.0.state();
        let (of, count) = state.strangers;
        let count = if of == second { count + 1 } else { 1 };
        state.strangers = (second, count);
        let has_room = count <= STRANGERS_PER_SEC;
        state.omitted += u64::from(!has_room);
        has_room
    }

    /// Whether records can be written; tries again when the last one could not.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), AuditError> {
        if self.0.state().failure.is_none() {
            return Ok(());
        }
        let log = self.clone();
        let tried = tokio::task::spawn_blocking(move || {
            let mut state = log.0.state();
            if !state.is_flushing {
                state.is_flushing = true;
                state.failure = None;
                drop(state);
                log.flush();
            }
        });
        drop(tried.await);
        self.0.state().failure.clone().map_or(Ok(()), Err)
    }

    /// Where the chain ends, as far as files have it.
    pub fn head(&self) -> Option<Head> {
        let state = self.0.state();
        let is_whole = state.written == state.seq && 0 < state.seq;
        is_whole.then(|| Head {
            chain: state.chain.clone(),
            seq: state.seq,
            hash: state.hash.clone(),
        })
    }

    /// Writes and syncs all that waits, and gives the folder back: what is added later is left out.
    ///
    /// # Errors
    /// When the file does not take it.
    pub fn close(&self) -> Result<(), AuditError> {
        let mut state = self.0.state();
        state.failure = None;
        self.0.write(&mut state)?;
        state
            .file
            .sync_data()
            .map_err(|error| self.0.failed("syncing it", error))?;
        state.is_closed = true;
        flock(&self.0.lock, FlockOperation::Unlock)
            .map_err(|error| self.0.failed("giving it back", error.into()))
    }

    /// Writes what waits, until nothing does.
    fn flush(&self) {
        let mut state = self.0.state();
        // The lock is held while it is written: whoever adds a line meanwhile waits for a copy into
        // the system's memory, not for the disk.
        if let Err(failure) = self.0.write(&mut state) {
            tracing::error!(error = %failure, "no audit records can be written: changes are refused until they can");
            state.failure = Some(failure);
        }
        state.is_flushing = false;
        let syncs = !std::mem::replace(&mut state.sync_waits, true);
        drop(state);
        // Also for those who wait in vain.
        self.0.written.send_modify(|_| {});
        if syncs {
            let log = Arc::downgrade(&self.0);
            tokio::spawn(async move {
                tokio::time::sleep(SYNC_AFTER).await;
                if let Some(log) = log.upgrade() {
                    drop(tokio::task::spawn_blocking(move || Self(log).sync()).await);
                }
            });
        }
    }

    fn sync(&self) {
        let mut state = self.0.state();
        state.sync_waits = false;
        let file = state.file.try_clone();
        drop(state);
        if let Err(error) = file.and_then(|file| file.sync_data()) {
            let failure = self.0.failed("syncing it", error);
            tracing::error!(error = %failure, "audit records may not have reached the disk");
            self.0.state().failure = Some(failure);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> AuditError {
        AuditError::Io {
            folder: self.folder.clone(),
            doing,
            source: Arc::new(source),
        }
    }

    fn write(&self, state: &mut State) -> Result<(), AuditError> {
        if state.buffer.is_empty() {
            return Ok(());
        }
        if self.rotate_bytes <= state.file_bytes {
            self.rotate(state)
                .map_err(|error| self.failed("beginning a file", error))?;
        }
        if let Err(error) = state.file.write_all(&state.buffer) {
            // What of it arrived is no whole line; the whole of it is written when there is room.
            let whole = state.file_bytes;
            let cut = state
                .file
                .set_len(whole)
                .and_then(|()| state.file.seek(SeekFrom::Start(whole)));
            let error = cut.err().unwrap_or(error);
            return Err(self.failed("writing", error));
        }
        state.file_bytes += state.buffer.len() as u64;
        state.buffer.clear();
        state.written = state.seq;
        self.written.send_replace(state.written);
        Ok(())
    }

    fn rotate(&self, state: &mut State) -> io::Result<()> {
        state.file.sync_data()?;
        let path = self.folder.join(file_name(state.written + 1));
        state.file = private(OpenOptions::new().create_new(true).write(true)).open(path)?;
        state.file_bytes = 0;
        File::open(&self.folder)?.sync_all()
    }
}

impl State {
    /// Puts a line behind the others; answers its number.
    fn add(&mut self, record: &str) -> u64 {
        let link = Link {
            chain: self.chain.clone(),
            seq: self.seq + 1,
            previous: std::mem::take(&mut self.hash),
            omitted: std::mem::take(&mut self.omitted),
        };
        let line = link.line(record);
        self.hash = hash_of(line.as_bytes());
        self.seq = link.seq;
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        self.seq
    }

    fn new(chain: String, (seq, hash): (u64, String), file: File, file_bytes: u64) -> Self {
        Self {
            chain,
            seq,
            hash,
            buffer: Vec::new(),
            written: seq,
            file,
            file_bytes,
            is_flushing: false,
            sync_waits: false,
            failure: None,
            is_closed: false,
            omitted: 0,
            strangers: (0, 0),
        }
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn begin(folder: &Path, draw: impl FnOnce() -> String) -> io::Result<State> {
    let file =
        private(OpenOptions::new().create_new(true).write(true)).open(folder.join(file_name(1)))?;
    File::open(folder)?.sync_all()?;
    Ok(State::new(draw(), (0, NOTHING.to_owned()), file, 0))
}

/// The last whole line of a file, and where it ends; what follows is cut off, since whoever wrote it
/// was killed before it was answered.
fn last_line(path: &Path) -> io::Result<(Option<Vec<u8>>, u64)> {
    let mut lines = BufReader::new(File::open(path)?);
    let (mut last, mut end, mut line) = (None, 0, Vec::new());
    loop {
        line.clear();
        let read = lines.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok((last, end));
        }
        end += read as u64;
        last = Some(line.clone());
    }
}

/// Goes on behind the last line of the newest file that has one.
fn go_on(
    first: u64,
    path: &Path,
    all: &[(u64, PathBuf)],
    draw: impl FnOnce() -> String,
) -> io::Result<State> {
    let (mut last, end) = last_line(path)?;
    // A file that was just begun has none.
    for (_, older) in all.iter().rev().skip(1) {
        if last.is_some() {
            break;
        }
        last = last_line(older)?.0;
    }
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    let place = match &last {
        Some(line) => match Link::of(line) {
            Some(link) => (link.chain, (link.seq, hash_of(line))),
            // Somebody else's line: `verify` tells of it, and the chain goes on behind it.
            None => (draw(), (first.saturating_sub(1), hash_of(line))),
        },
        None => (draw(), (0, NOTHING.to_owned())),
    };
    let (chain, at) = place;
    Ok(State::new(chain, at, file, end))
}
