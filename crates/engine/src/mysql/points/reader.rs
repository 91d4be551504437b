//! The logs of a server, read as it writes them: all that is whole, one file after another.
//!
//! It does not know whether the server runs. What was acknowledged is in the files, and a transaction that is not
//! whole in them was not.
//!
//! Invariant: what was read is on the disk, so that the server has it after a crash, too. A log that is another
//! than the one that was read before, or has a hole before what comes next, is an end, in words.
use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
};

use model::LogPlace;

use super::{
    super::{
        binlog::{
            event::{MAGIC, Next, next},
            read::{IN_USE, beginning, has_beginning},
        },
        replicating::{log_files, log_name},
    },
    kept::Kept,
};
use crate::{error::EngineError, folder::Folder, home::Home, log::LogPiece};

/// Reads on and on.
#[derive(Debug)]
pub(super) struct Reader {
    data: PathBuf,
    file: File,
    place: LogPlace,
    /// Behind the last transaction that is whole in the file.
    whole: u64,
}

fn gone(why: impl Into<String>) -> EngineError {
    EngineError::LogGone { why: why.into() }
}

fn unreadable(data: &std::path::Path, source: io::Error) -> EngineError {
    match source.kind() {
        io::ErrorKind::Unsupported => gone(format!("a log cannot be read: {source}")),
        _ => EngineError::io("read the log in", data, source),
    }
}

impl Reader {
    /// Begins with the log that the server writes now.
    ///
    /// # Errors
    /// When there is none; the system's.
    pub(super) fn at_latest(home: &Home) -> Result<Self, EngineError> {
        let data = home.data();
        let failed = |source| unreadable(&data, source);
        let folder = Folder::open(&data).map_err(failed)?;
        let latest = log_files(&folder).map_err(failed)?.pop();
        let number = latest.and_then(|log| u32::try_from(log.number).ok());
        let number = number.ok_or_else(|| EngineError::NoLog {
            home: home.dir.clone(),
        })?;
        let file = folder.file(&log_name(number)).map_err(failed)?;
        Ok(Self::of(data, file, number))
    }

    /// Goes on from a place, if the logs are those that the mark was written of.
    ///
    /// # Errors
    /// [`EngineError::LogGone`]; the system's.
    pub(super) fn go_on(home: &Home, from: LogPlace, kept: Kept) -> Result<Self, EngineError> {
        let data = home.data();
        let failed = |source| unreadable(&data, source);
        let folder = Folder::open(&data).map_err(failed)?;
        if from.timeline < kept.number {
            return Err(gone(format!(
                "it was kept from {} on",
                log_name(kept.number)
            )));
        }
        let first = opened(&folder, kept.number).map_err(failed)?;
        let found = first.as_ref().map(beginning).transpose().map_err(failed)?;
        if found.flatten() != Some(kept.beginning) {
            return Err(gone(format!(
                "{} is another than it was, or is not there",
                log_name(kept.number)
            )));
        }
        for number in kept.number..=from.timeline {
            if opened(&folder, number).map_err(failed)?.is_none() {
                return Err(gone(format!("{} is not there", log_name(number))));
            }
        }
        let file = folder.file(&log_name(from.timeline)).map_err(failed)?;
        let mut reader = Self::of(data.clone(), file, from.timeline);
        reader.advance()?;
        if reader.whole < from.position {
            return Err(gone(format!(
                "{} is shorter than what was read of it",
                log_name(from.timeline)
            )));
        }
        reader.place = from;
        Ok(reader)
    }

    fn of(data: PathBuf, file: File, number: u32) -> Self {
        Self {
            data,
            file,
            place: LogPlace {
                timeline: number,
                position: 0,
            },
            whole: 0,
        }
    }

    /// Where the next piece begins.
    pub(super) fn place(&self) -> LogPlace {
        self.place
    }

    /// What the mark says of the log that is read; none while the server has hardly begun it.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn kept(&self) -> Result<Option<Kept>, EngineError> {
        let found = beginning(&self.file).map_err(|source| unreadable(&self.data, source))?;
        Ok(found.map(|beginning| Kept {
            number: self.place.timeline,
            beginning,
        }))
    }

    /// What there is behind the last piece. None when the log was ended and the next one is not there: a server makes
    /// it a moment later, or it is lost.
    ///
    /// # Errors
    /// [`EngineError::LogGone`]; the system's.
    pub(super) fn read(&mut self, bytes_max: usize) -> Result<Option<LogPiece>, EngineError> {
        loop {
            let data = self.data.clone();
            let failed = |source| unreadable(&data, source);
            let folder = Folder::open(&data).map_err(failed)?;
            let number = self.place.timeline;
            let following = number.checked_add(1).map(|next| opened(&folder, next));
            let following = following.transpose().map_err(failed)?.flatten();
            // Looked at after the next one was opened: a server that began to number anew has removed this one.
            self.check_is_there(&folder)?;
            self.advance()?;
            if self.place.position < self.whole {
                let has_more = following.is_some();
                return self.piece(bytes_max, has_more).map(Some);
            }
            let Some(file) = following else {
                return Ok(self.is_open()?.then(|| self.nothing()));
            };
            if self.whole < self.size()? {
                return Err(gone(format!(
                    "{} ends in the midst of a transaction",
                    log_name(number)
                )));
            }
            *self = Self::of(data, file, number + 1);
        }
    }

    /// Whether the server writes the log still.
    fn is_open(&self) -> Result<bool, EngineError> {
        let (at, bit) = IN_USE;
        let mut byte = [0];
        let read = self.file.read_at(&mut byte, at as u64);
        let read = read.map_err(|source| unreadable(&self.data, source))?;
        Ok(read == 0 || byte[0] & bit != 0)
    }

    fn size(&self) -> Result<u64, EngineError> {
        let facts = self.file.metadata();
        let facts = facts.map_err(|source| unreadable(&self.data, source))?;
        Ok(facts.len())
    }

    /// Whether the file still has its name.
    fn check_is_there(&self, folder: &Folder) -> Result<(), EngineError> {
        let failed = |source| unreadable(&self.data, source);
        let number = self.place.timeline;
        let there = opened(folder, number).map_err(failed)?;
        let identity = |file: &File| file.metadata().map(|facts| (facts.dev(), facts.ino()));
        let there = there.as_ref().map(identity).transpose().map_err(failed)?;
        match there == Some(identity(&self.file).map_err(failed)?) {
            true => Ok(()),
            false => Err(gone(format!(
                "{} was deleted before it was read to its end, as RESET BINARY LOGS AND GTIDS does",
                log_name(number)
            ))),
        }
    }

    /// Finds the end of what is whole.
    fn advance(&mut self) -> Result<(), EngineError> {
        let size = self.size()?;
        let number = self.place.timeline;
        if size < self.whole {
            return Err(gone(format!(
                "{} is shorter than what was read of it",
                log_name(number)
            )));
        }
        let failed = |source| unreadable(&self.data, source);
        if self.whole == 0 {
            if !has_beginning(&self.file).map_err(failed)? {
                return Ok(());
            }
            self.whole = MAGIC.len() as u64;
        }
        loop {
            self.whole += match next(&self.file, self.whole, size).map_err(failed)? {
                Next::Transaction(transaction) => transaction.bytes,
                Next::Other { bytes, .. } => bytes,
                Next::Cut => return Ok(()),
                Next::Odd => {
                    return Err(gone(format!(
                        "{} has no event at {}",
                        log_name(number),
                        self.whole
                    )));
                }
            };
        }
    }

    fn piece(&mut self, bytes_max: usize, has_more: bool) -> Result<LogPiece, EngineError> {
        let failed = |source| unreadable(&self.data, source);
        let start = self.place;
        let there = usize::try_from(self.whole - start.position).unwrap_or(usize::MAX);
        let mut bytes = vec![0; there.min(bytes_max)];
        self.file
            .read_exact_at(&mut bytes, start.position)
            .map_err(failed)?;
        // The server may have written it to the system alone.
        self.file.sync_data().map_err(failed)?;
        close(&mut bytes, start.position);
        let mut piece = LogPiece {
            start,
            bytes,
            history: Vec::new(),
            is_last: false,
        };
        self.place = piece.end();
        piece.is_last = self.place.position == self.whole && !has_more;
        Ok(piece)
    }

    fn nothing(&self) -> LogPiece {
        LogPiece {
            start: self.place,
            bytes: Vec::new(),
            history: Vec::new(),
            is_last: true,
        }
    }
}

/// Takes back the word that a server writes the log still, as the server does when it no longer does.
fn close(bytes: &mut [u8], from: u64) {
    let (at, bit) = IN_USE;
    let at = (at as u64).checked_sub(from);
    let byte = at.and_then(|at| bytes.get_mut(usize::try_from(at).ok()?));
    if let Some(byte) = byte {
        *byte &= !bit;
    }
}

/// A log by its number; none where it is not there.
fn opened(folder: &Folder, number: u32) -> io::Result<Option<File>> {
    match folder.file(&log_name(number)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_use_is_taken_back_wherever_a_piece_begins() {
        let (at, bit) = IN_USE;
        for from in 0..=at {
            let mut bytes = vec![0xFF; at + 2 - from];
            close(&mut bytes, from as u64);
            assert_eq!(bytes[at - from], !bit, "{from}");
            assert_eq!(bytes.iter().filter(|byte| **byte != 0xFF).count(), 1);
        }
        let mut behind = [0xFF; 4];
        close(&mut behind, at as u64 + 1);
        assert_eq!(behind, [0xFF; 4]);
    }
}
