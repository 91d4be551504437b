//! The file that lines are written into, and the one that follows when it is full.
//!
//! It does not know what a line says, but for its place in the chain.
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::chain::{Link, NOTHING, file_name, files, hash_of};

/// A line's number and hash; of no line 0, and what stands for its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

/// Writes whole lines into a folder's newest file.
pub(crate) struct Writer {
    folder: PathBuf,
    rotate_bytes: u64,
    file: File,
    /// What the file has of whole lines.
    file_bytes: u64,
}

/// What failed, and why.
type Failed = (&'static str, io::Error);

/// Readable by its owner alone.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

impl Writer {
    /// Goes on behind the last line of a folder's files, or begins the first one; answers the chain's
    /// name, too, and its last line.
    pub(crate) fn open(
        folder: &Path,
        rotate_bytes: u64,
        draw: impl FnOnce() -> String,
    ) -> io::Result<(Self, String, Place)> {
        let found = files(folder)?;
        let writer = |file, file_bytes| Self {
            folder: folder.to_owned(),
            rotate_bytes,
            file,
            file_bytes,
        };
        let Some((first, path)) = found.last() else {
            let path = folder.join(file_name(1));
            let file = private(OpenOptions::new().create_new(true).write(true)).open(path)?;
            File::open(folder)?.sync_all()?;
            return Ok((writer(file, 0), draw(), nowhere()));
        };
        let (mut last, end) = last_line(path)?;
        // A file that was just begun has none.
        for (_, older) in found.iter().rev().skip(1) {
            if last.is_some() {
                break;
            }
            last = last_line(older)?.0;
        }
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        let (chain, place) = behind(last, *first, draw);
        Ok((writer(file, end), chain, place))
    }

    /// Writes lines, of which the first has a number: all of them, or none.
    pub(crate) fn write(&mut self, first: u64, lines: &[u8]) -> Result<(), Failed> {
        if self.rotate_bytes <= self.file_bytes {
            self.rotate(first)
                .map_err(|error| ("beginning a file", error))?;
        }
        if let Err(error) = self.file.write_all(lines) {
            // What of it arrived is no whole line; the whole of it is written when there is room.
            let whole = self.file_bytes;
            let cut = self.file.set_len(whole);
            let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(whole)));
            return Err(("writing", cut.err().unwrap_or(error)));
        }
        self.file_bytes += lines.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, first: u64) -> io::Result<()> {
        self.file.sync_data()?;
        let path = self.folder.join(file_name(first));
        self.file = private(OpenOptions::new().create_new(true).write(true)).open(path)?;
        self.file_bytes = 0;
        File::open(&self.folder)?.sync_all()
    }

    /// Has the disk take what was written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The file, to be synced while others write into it.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

fn nowhere() -> Place {
    Place {
        seq: 0,
        hash: NOTHING.to_owned(),
    }
}

/// The place behind a last line, in a file whose first line is to have a number.
fn behind(last: Option<Vec<u8>>, first: u64, draw: impl FnOnce() -> String) -> (String, Place) {
    let Some(line) = last else {
        return (draw(), nowhere());
    };
    let hash = hash_of(&line);
    match Link::of(&line) {
        Some(link) => {
            let seq = link.seq;
            (link.chain, Place { seq, hash })
        }
        // Somebody else's line: `verify` tells of it, and the chain goes on behind it.
        None => {
            let seq = first.saturating_sub(1);
            (draw(), Place { seq, hash })
        }
    }
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
