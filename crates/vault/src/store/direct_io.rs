//! Writing past the page cache: memory that is aligned for it, and files opened for it.
//!
//! It does not know what is written. Why it is worth while: fresh pages of the cache cost several
//! times the processor time of the copy into them, and writers of one file wait for each other
//! (docs/benchmarks/profile.md).
use std::{
    fs::{File, OpenOptions},
    io,
    ops::{Deref, DerefMut},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::{fs::OFlags, io::Errno};

/// What addresses, offsets and lengths of direct writes are multiples of: as much as any disk
/// asks for, and half a block.
pub(crate) const ALIGNMENT: usize = 4096;

/// Bytes whose address is a multiple of [`ALIGNMENT`].
#[derive(Debug)]
pub(crate) struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// So many zeros.
    pub(crate) fn zeros(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        // A misfit only means that direct writes from it are refused.
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            start,
            length,
        }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// Opens a file for direct writes; none where the file system takes none.
///
/// # Errors
/// Any other of the file system's.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::DIRECT.bits().cast_signed();
    match options.custom_flags(flags).open(path) {
        Err(error) if is_refusal(&error) => Ok(None),
        other => other.map(Some),
    }
}

/// Whether an error says that direct writes are not taken here.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP]
        .iter()
        .any(|refusal| error.raw_os_error() == Some(refusal.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_and_zero() {
        for length in [0, 1, ALIGNMENT, 3 * ALIGNMENT + 5] {
            let bytes = Aligned::zeros(length);
            assert_eq!(bytes.len(), length);
            assert_eq!(bytes.as_ptr() as usize % ALIGNMENT, 0);
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
    }
}
