//! What a snapshot's files are read from.
//!
//! It does not know what the bytes mean.
use std::io;

use crate::format::body::Evidence;

/// What a look at a block found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// It may be stored as it is.
    Good,
    /// It was read again, and may be stored as it is now.
    ReadAgain,
    /// It may be stored as it is now although it is not whole, since something else in the
    /// snapshot mends it. The next snapshot looks at it again even if it is then equal.
    Doubtful,
}

/// A file to be read, by several threads at once.
pub trait Content: Send + Sync {
    /// Its bytes when it was opened; nothing is read behind them.
    fn size(&self) -> u64;

    /// Fills the buffer from an offset, which is a multiple of a block's size, as far as the
    /// content goes. Fewer bytes than asked for say that it has become shorter: the file then
    /// ends there in the snapshot.
    ///
    /// # Errors
    /// Whatever ends the snapshot.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Looks at a block that was read from this offset and is to be stored; it may change its
    /// bytes. Not asked of blocks of zeros alone, nor of those that are equal to the base's, which
    /// were looked at when they were stored, unless they were doubtful then.
    ///
    /// # Errors
    /// Whatever ends the snapshot.
    fn check(&self, _block: &mut [u8], _offset: u64) -> io::Result<Looked> {
        Ok(Looked::Good)
    }

    /// What would be other if the content had changed. Taken before anything is read; none when
    /// nothing says so for certain.
    fn evidence(&self) -> Option<Evidence> {
        None
    }
}

impl Content for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}
