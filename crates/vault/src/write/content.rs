//! What a snapshot's files are read from.
//!
//! It does not know what the bytes mean.
use std::io;

use crate::body::Evidence;

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
