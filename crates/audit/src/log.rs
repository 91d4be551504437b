//! The log that a process writes: lines gathered in memory, written by one at a time, synced a
//! moment later.
//!
//! It does not know what a record means. Who adds a record waits for nothing; who has to know that it
//! is kept waits for [`Kept::wait`]: then the file has it, and a killed process loses nothing. What a
//! machine that loses its power loses is what was written in the last [`SYNC_AFTER`].
//!
//! Invariants: one process has the folder. Lines stand in the file in their chain's order. While the
//! file takes nothing, lines stay in memory up to [`BUFFER_BYTES_MAX`], and [`AuditLog::failure`]
//! says why. No lock that who adds a record takes is held while something is written.
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;

use crate::{
    chain::{Head, Link, files, hash_of},
    record::Record,
    writer::{Place, Writer, private},
};

/// A file that is larger is followed by a next one.
pub const ROTATE_BYTES: u64 = 16 << 20;
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
    #[error("the audit log in {}: {doing}", folder.display())]
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

/// What became of records since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that files have.
    pub written: u64,
    /// Those that were left out: no room in memory, or too many of strangers.
    pub omitted: u64,
}

/// Where the next line goes, and what waits.
struct State {
    chain: String,
    /// The last line.
    place: Place,
    /// The last line that a file has.
    written: Place,
    /// Lines that are on their way into no file yet, each with its end.
    buffer: Vec<u8>,
    is_flushing: bool,
    sync_waits: bool,
    failure: Option<AuditError>,
    is_closed: bool,
    /// Records that were left out since the last line.
    omitted: u64,
    /// The second of the last stranger's record, and how many of that second there are.
    strangers: (i64, u32),
    counts: Counts,
}

/// The log of one process.
#[derive(Clone)]
pub struct AuditLog(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    /// Held by who writes; always taken before the state.
    writer: Mutex<Writer>,
    /// The number of the last line that a file has; told also when nothing could be written.
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
#[must_use = "a record is on its way all the same; say so by dropping it"]
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
            if let Some(failure) = self.log.failure() {
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
        let opened = Writer::open(folder, rotate_bytes, draw).map_err(failed("reading its end"))?;
        let (writer, chain, place) = opened;
        let (written, _) = watch::channel(place.seq);
        Ok(Self(Arc::new(Shared {
            folder: folder.to_owned(),
            state: Mutex::new(State::new(chain, place)),
            writer: Mutex::new(writer),
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
            state.leave_out();
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
        if !has_room {
            state.leave_out();
        }
        has_room
    }

    /// Why records cannot be written, as the last try told.
    pub fn failure(&self) -> Option<AuditError> {
        self.0.state().failure.clone()
    }

    /// Whether records can be written; tries again when the last one could not.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), AuditError> {
        if self.failure().is_none() {
            return Ok(());
        }
        let log = self.clone();
        let tried = tokio::task::spawn_blocking(move || {
            let mut state = log.0.state();
            if !state.is_flushing {
                state.is_flushing = true;
                drop(state);
                log.flush();
            }
        });
        drop(tried.await);
        self.failure().map_or(Ok(()), Err)
    }

    /// What became of records since the process began.
    pub fn counts(&self) -> Counts {
        self.0.state().counts
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Syncs what files have, and answers where the chain ends there; none before the first record.
    /// What is kept of it elsewhere is true also after a loss of power.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn synced_head(&self) -> Result<Option<Head>, AuditError> {
        let writer = self.0.writer();
        let head = self.0.state().head();
        writer
            .sync()
            .map_err(|error| self.0.failed("syncing it", error))?;
        Ok(head)
    }

    /// Older files that are beyond a size of all together, or were last written before a second; and
    /// the number of the first record that stays. The newest file stays always.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn excess(
        &self,
        bytes_max: u64,
        before: i64,
    ) -> Result<Option<(u64, Vec<PathBuf>)>, AuditError> {
        let found = self.files().map_err(|e| self.0.failed("listing it", e))?;
        let (mut bytes, mut gone, mut first) = (0, Vec::new(), None);
        for (number, (seq, path, size, at)) in found.into_iter().rev().enumerate() {
            bytes += size;
            let is_excess = number != 0 && (bytes_max < bytes || at < before);
            // What is older than one that goes, goes too: a chain has no holes.
            if is_excess || !gone.is_empty() {
                gone.push(path);
            } else {
                first = Some(seq);
            }
        }
        Ok(first
            .filter(|_| !gone.is_empty())
            .map(|first| (first, gone)))
    }

    fn files(&self) -> io::Result<Vec<(u64, PathBuf, u64, i64)>> {
        use std::os::unix::fs::MetadataExt;
        let found = files(&self.0.folder)?.into_iter();
        let told = found.map(|(first, path)| {
            let told = fs::symlink_metadata(&path)?;
            Ok((first, path, told.len(), told.mtime()))
        });
        told.collect()
    }

    /// Removes files that [`Self::excess`] named, the oldest first.
    ///
    /// # Errors
    /// When one cannot be removed; the newer ones are left.
    pub fn remove(&self, files: Vec<PathBuf>) -> Result<(), AuditError> {
        let mut oldest_first = files.into_iter().rev();
        let removed = oldest_first.try_for_each(fs::remove_file);
        removed.map_err(|error| self.0.failed("removing an old file", error))
    }

    /// Writes and syncs all that waits, and gives the folder back: what is added later is left out.
    ///
    /// # Errors
    /// When the file does not take it.
    pub fn close(&self) -> Result<(), AuditError> {
        let mut writer = self.0.writer();
        self.0.write(&mut writer)?;
        self.0.state().is_closed = true;
        // What was added in between.
        self.0.write(&mut writer)?;
        writer
            .sync()
            .map_err(|error| self.0.failed("syncing it", error))?;
        flock(&self.0.lock, FlockOperation::Unlock)
            .map_err(|error| self.0.failed("giving it back", error.into()))
    }

    /// Writes what waits, until nothing does.
    fn flush(&self) {
        let mut writer = self.0.writer();
        loop {
            let wrote = self.0.write(&mut writer);
            let mut state = self.0.state();
            let has_more = wrote.is_ok() && !state.buffer.is_empty();
            if has_more {
                continue;
            }
            match (wrote, &state.failure) {
                (Err(failure), None) => {
                    tracing::error!(cause = %chain_of(&failure), "no audit records can be written: they wait in memory, and are left out once that is full");
                    state.failure = Some(failure);
                }
                (Err(failure), Some(_)) => state.failure = Some(failure),
                (Ok(()), Some(_)) => {
                    tracing::info!("audit records can be written again");
                    state.failure = None;
                }
                (Ok(()), None) => {}
            }
            state.is_flushing = false;
            let syncs = !std::mem::replace(&mut state.sync_waits, true);
            drop(state);
            drop(writer);
            // Also for those who wait in vain.
            self.0.written.send_modify(|_| {});
            if syncs {
                self.sync_later();
            }
            return;
        }
    }

    fn sync_later(&self) {
        let log = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(SYNC_AFTER).await;
            if let Some(log) = log.upgrade() {
                drop(tokio::task::spawn_blocking(move || log.sync()).await);
            }
        });
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> AuditError {
        AuditError::Io {
            folder: self.folder.clone(),
            doing,
            source: Arc::new(source),
        }
    }

    /// Writes what waits by now; what could not be written waits on, before what was added meanwhile.
    fn write(&self, writer: &mut Writer) -> Result<(), AuditError> {
        let mut state = self.state();
        let (mut lines, place) = (std::mem::take(&mut state.buffer), state.place.clone());
        let first = state.written.seq + 1;
        drop(state);
        if lines.is_empty() {
            return Ok(());
        }
        let wrote = writer.write(first, &lines);
        let mut state = self.state();
        if let Err((doing, error)) = wrote {
            lines.append(&mut state.buffer);
            state.buffer = lines;
            return Err(self.failed(doing, error));
        }
        state.counts.written += place.seq - state.written.seq;
        state.written = place;
        self.written.send_replace(state.written.seq);
        Ok(())
    }

    fn sync(&self) {
        self.state().sync_waits = false;
        let file = self.writer().file();
        if let Err(error) = file.and_then(|file| file.sync_data()) {
            let failure = self.failed("syncing it", error);
            tracing::error!(cause = %chain_of(&failure), "audit records may not have reached the disk");
            self.state().failure = Some(failure);
        }
    }
}

/// An error and its causes in one line.
fn chain_of(error: &AuditError) -> String {
    match error {
        AuditError::Io { source, .. } => format!("{error}: {source}"),
        AuditError::Taken { .. } => error.to_string(),
    }
}

impl State {
    fn new(chain: String, place: Place) -> Self {
        Self {
            chain,
            written: place.clone(),
            place,
            buffer: Vec::new(),
            is_flushing: false,
            sync_waits: false,
            failure: None,
            is_closed: false,
            omitted: 0,
            strangers: (0, 0),
            counts: Counts::default(),
        }
    }

    fn leave_out(&mut self) {
        self.omitted += 1;
        self.counts.omitted += 1;
    }

    /// Puts a line behind the others; answers its number.
    fn add(&mut self, record: &str) -> u64 {
        let link = Link {
            chain: self.chain.clone(),
            seq: self.place.seq + 1,
            previous: std::mem::take(&mut self.place.hash),
            omitted: std::mem::take(&mut self.omitted),
        };
        let line = link.line(record);
        self.place = Place {
            seq: link.seq,
            hash: hash_of(line.as_bytes()),
        };
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        link.seq
    }

    fn head(&self) -> Option<Head> {
        (0 < self.written.seq).then(|| Head {
            chain: self.chain.clone(),
            seq: self.written.seq,
            hash: self.written.hash.clone(),
        })
    }
}
