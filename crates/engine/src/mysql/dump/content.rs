//! A redo file of a dump, as it is read.
//!
//! It does not know where the log came from.
use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use model::pages::Content;

use super::super::redo::HEAD_BYTES;

/// A redo file of a dump: a head of its own, what was copied of the log, and zeros.
#[derive(Debug)]
pub(super) struct RedoContent {
    pub(super) head: [u8; HEAD_BYTES],
    pub(super) spool: Arc<File>,
    /// Where in the file the log begins that was copied.
    pub(super) offset: u64,
    /// Where in the spool that is.
    pub(super) spooled: u64,
    pub(super) bytes: u64,
    pub(super) size: u64,
}

impl Content for RedoContent {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = &mut buffer[..wanted];
        buffer.fill(0);
        let end = offset + wanted as u64;
        let within = |at: u64| usize::try_from(at - offset).unwrap_or(wanted);
        let head_end = end.min(HEAD_BYTES as u64);
        if offset < head_end {
            let from = usize::try_from(offset).unwrap_or(HEAD_BYTES);
            let part = &self.head[from..usize::try_from(head_end).unwrap_or(HEAD_BYTES)];
            buffer[..part.len()].copy_from_slice(part);
        }
        let (from, to) = (offset.max(self.offset), end.min(self.offset + self.bytes));
        if from < to {
            let part = &mut buffer[within(from)..within(to)];
            self.spool
                .read_exact_at(part, self.spooled + from - self.offset)?;
        }
        Ok(wanted)
    }
}
