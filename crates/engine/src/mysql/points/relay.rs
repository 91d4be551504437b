//! Logs that were kept, laid where a server finds them as if another one had sent them.
//!
//! It does not know what the server makes of them. They come in stretches that are bounded, so that a long log takes
//! no more of the disk than one of those at once.
use std::{fs::File, io, io::Write, os::unix::fs::FileExt, sync::Arc};

use model::{LogPlace, Timestamp};

use super::super::{
    binlog::{
        gtids::Gtids,
        read::{Logged, read},
    },
    replicating::{HEARD, RELAY_LOG, log_name},
};
use crate::{
    blocking::blocking,
    error::EngineError,
    folder::Folder,
    home::Home,
    log::{LogPiece, LogSource, ReplayTarget},
};

/// Bytes of a stretch, about: it ends with the log that has so many.
const STRETCH_BYTES: u64 = 512 << 20;

/// Logs that lie ready.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// Their names, in order.
    names: Vec<String>,
    /// The transactions in them.
    pub(super) gtids: Gtids,
    bytes: u64,
    /// Whether none comes behind them.
    pub(super) is_last: bool,
}

impl Stretch {
    /// The first one's name; none when there is nothing to do.
    pub(super) fn first(&self) -> Option<&str> {
        let name = self.names.first().filter(|_| !self.gtids.is_empty());
        name.map(String::as_str)
    }
}

/// Lays out logs, up to a moment.
pub(super) struct RelayLogs<'a> {
    home: &'a Home,
    from: LogPlace,
    until: Option<Timestamp>,
    /// The log that is being laid out.
    open: Option<Open>,
    /// A piece that begins the next log.
    left: Option<LogPiece>,
    stretch: Stretch,
}

/// A log that is being laid out.
struct Open {
    name: String,
    file: Arc<File>,
    /// Where its next byte belongs.
    at: LogPlace,
}

/// Behind what a log is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its last piece: another log follows.
    OfLog,
    /// The last piece of all. They are cut by their size, so that it may end amid a transaction.
    OfAll,
}

fn bad(why: impl Into<String>) -> EngineError {
    EngineError::BadLog { why: why.into() }
}

impl<'a> RelayLogs<'a> {
    pub(super) fn new(home: &'a Home, target: &ReplayTarget) -> Self {
        Self {
            home,
            from: target.from,
            until: target.until,
            open: None,
            left: None,
            stretch: Stretch::default(),
        }
    }

    /// Lays out the next stretch, in the place of the one before. The server hears nobody meanwhile.
    ///
    /// # Errors
    /// What the source answers; [`EngineError::BadLog`]; the system's.
    pub(super) async fn next(&mut self, log: &mut dyn LogSource) -> Result<Stretch, EngineError> {
        self.in_folder(|folder, _| clear(&folder)).await?;
        self.stretch = Stretch::default();
        loop {
            let piece = match self.left.take() {
                Some(piece) => Some(piece),
                None => log
                    .next()
                    .await
                    .map_err(|source| EngineError::Source { source })?,
            };
            let Some(piece) = piece else {
                self.finish(End::OfAll).await?;
                self.stretch.is_last = true;
                break;
            };
            if let Some(open) = &self.open
                && open.at.timeline != piece.start.timeline
            {
                let is_cut = self.finish(End::OfLog).await?;
                if is_cut || STRETCH_BYTES <= self.stretch.bytes {
                    self.stretch.is_last = is_cut;
                    self.left = Some(piece);
                    break;
                }
            }
            self.take(piece).await?;
        }
        let names = self.stretch.names.clone();
        self.in_folder(move |folder, owner| list(&folder, &names, owner))
            .await?;
        Ok(std::mem::take(&mut self.stretch))
    }

    async fn in_folder<T: Send + 'static>(
        &self,
        work: impl FnOnce(Folder, Option<u32>) -> io::Result<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (data, owner) = (self.home.data(), self.home.os_uid);
        blocking(move || {
            let done = Folder::open(&data).and_then(|folder| work(folder, owner));
            done.map_err(|source| EngineError::io("lay out the log in", data, source))
        })
        .await
    }

    /// Adds a piece to the log that is being laid out, or begins one with it.
    async fn take(&mut self, piece: LogPiece) -> Result<(), EngineError> {
        let Open { name, file, at } = match self.open.take() {
            Some(open) => open,
            None => self.begin(piece.start).await?,
        };
        if piece.start != at {
            return Err(bad(format!(
                "{} has nothing between {} and {}",
                log_name(at.timeline),
                at.position,
                piece.start.position
            )));
        }
        let end = piece.end();
        let into = Arc::clone(&file);
        self.in_folder(move |_, _| into.write_all_at(&piece.bytes, piece.start.position))
            .await?;
        self.open = Some(Open {
            name,
            file,
            at: end,
        });
        Ok(())
    }

    /// Begins a log: each follows the one before it, and is there from its first byte on.
    async fn begin(&mut self, start: LogPlace) -> Result<Open, EngineError> {
        let due = self.from.timeline;
        if start.timeline != due || start.position != 0 {
            return Err(bad(format!(
                "{} is not there from its beginning on, but {} from {} on",
                log_name(due),
                log_name(start.timeline),
                start.position
            )));
        }
        self.from.timeline = due.saturating_add(1);
        let name = format!("{RELAY_LOG}.{:06}", self.stretch.names.len() + 1);
        self.stretch.names.push(name.clone());
        let of = name.clone();
        let file = self.in_folder(move |folder, owner| folder.write(&of, owner));
        Ok(Open {
            name,
            file: Arc::new(file.await?),
            at: start,
        })
    }

    /// Ends the log that is being laid out: it goes as far as the moment. Answers whether there is more behind that.
    async fn finish(&mut self, end: End) -> Result<bool, EngineError> {
        let Some(Open { name, file, at }) = self.open.take() else {
            return Ok(false);
        };
        let until = self.until;
        let may_end = move |logged: &Logged| logged.is_cut || (end == End::OfAll && !logged.is_odd);
        let logged = self.in_folder(move |folder, _| {
            let logged = read(&folder.file(&name)?, until)?;
            if may_end(&logged) {
                file.set_len(logged.end)?;
            }
            Ok(logged)
        });
        let logged = logged.await.map_err(|error| match error {
            EngineError::Io { source, .. } if source.kind() == io::ErrorKind::Unsupported => bad(
                format!("{} cannot be read: {source}", log_name(at.timeline)),
            ),
            other => other,
        })?;
        let is_whole = logged.end == at.position;
        if !is_whole && !may_end(&logged) {
            return Err(bad(format!(
                "{} has no whole transaction at {}",
                log_name(at.timeline),
                logged.end
            )));
        }
        if !is_whole && logged.gtids.is_empty() {
            // What is left of it may be less than a server takes for a log.
            self.stretch.names.pop();
        }
        self.stretch.bytes += logged.end;
        self.stretch.gtids.join(logged.gtids);
        Ok(logged.is_cut)
    }
}

/// Removes what a server was given, which is down.
///
/// # Errors
/// The system's.
pub(super) async fn forget_given(home: &Home) -> Result<(), EngineError> {
    let data = home.data();
    blocking(move || {
        let done = Folder::open(&data).and_then(|folder| clear(&folder));
        done.map_err(|source| EngineError::io("remove the log from", &data, source))
    })
    .await
}

/// Removes what a server heard.
fn clear(folder: &Folder) -> io::Result<()> {
    for entry in folder.entries()? {
        let heard = entry.name.strip_prefix(RELAY_LOG);
        if heard.is_some_and(|rest| rest.starts_with('.')) {
            folder.unlink(&entry.name)?;
        }
    }
    Ok(())
}

/// Writes the list by which a server knows them.
fn list(folder: &Folder, names: &[String], owner: Option<u32>) -> io::Result<()> {
    let text: String = names.iter().map(|name| format!("./{name}\n")).collect();
    folder.write(HEARD, owner)?.write_all(text.as_bytes())
}
