//! What a database's file is to whoever keeps it: bytes, the pages among them that can be
//! checked, and what tells that it did not change.
//!
//! An engine implements it, a vault asks it. It does not know what a page holds.
use std::io;

use crate::limits;

/// What would be other if a file had changed: two that are equal say that it did not.
pub type ChangeToken = [u8; 16];

/// What the check of a page found; the worse, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageCheck {
    /// It may be kept as it is.
    Ok,
    /// It was read again, and may be kept as it is now.
    Reread,
    /// It was caught half-written and may be kept as it is now, since something else in the
    /// snapshot mends it. The next snapshot checks it again even if it is then equal.
    Torn,
}

/// What is known of a page beside the snapshot that a new one refers to, before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinceBase {
    /// Nothing.
    Unknown,
    /// It is as it was there, and need not be read.
    Same,
    /// It is said to be as it was there, and must be read all the same: see [`Pages::contradict`].
    SaidSame,
}

/// A file to be read, by as many threads as the reader likes.
pub trait Content: Send + Sync {
    /// Its bytes when it was opened; nothing behind them belongs to it.
    fn size(&self) -> u64;

    /// Fills the buffer from an offset as far as the file goes. The offset, and the buffer unless
    /// it ends where the file does, are multiples of [`BLOCK_BYTES`](crate::limits::BLOCK_BYTES).
    /// Fewer bytes than asked for, before the size, say that the file has become shorter: it then
    /// ends there. Asked again for the same bytes, it may give other ones. Nothing is checked of
    /// them: see [`Content::pages`].
    ///
    /// # Errors
    /// Whatever ends the reading of the whole.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// The pages that it consists of, when its bytes are pages that can be checked.
    fn pages(&self) -> Option<&dyn Pages> {
        None
    }

    /// What tells that the file changed, taken before the first read. Where it and the size are
    /// those of an earlier reading, the bytes of that one are right, and the file need not be
    /// read. None when nothing says so for certain.
    fn change_token(&self) -> Option<ChangeToken> {
        None
    }
}

/// The pages of a file, one after another from its first byte on. Bytes behind the last whole page
/// are none.
///
/// Every page that is kept must be checked, but those of zeros alone, and those that are equal to
/// what an earlier reading has at the same place, unless that was found [`PageCheck::Torn`].
pub trait Pages: Send + Sync {
    /// Bytes of a page.
    fn page_bytes(&self) -> usize;

    /// Checks a page that was read from this offset. It may read the page again.
    ///
    /// # Errors
    /// Whatever ends the reading of the whole; and when it is given anything but one whole page:
    /// see [`whole_page`].
    fn check(&self, page: &mut [u8], offset: u64) -> io::Result<PageCheck>;

    /// What is known of the page at this offset beside the base. More than nothing only of pages
    /// that are no longer than a block, and of a base that is the one whose document the engine was
    /// given.
    fn since_base(&self, _offset: u64) -> SinceBase {
        SinceBase::Unknown
    }

    /// Hears that a page which is [`SinceBase::SaidSame`] was read and is another than in the base.
    fn contradict(&self, _offset: u64) {}
}

/// Whether pages of this size can be checked: whole ones lie in a block, or are several blocks of
/// one frame.
pub const fn can_be_checked(page_bytes: usize) -> bool {
    0 < page_bytes && limits::FRAME_BYTES_MAX.is_multiple_of(page_bytes)
}

// A size that divides a frame divides a block, or is several of it.
const _: () =
    assert!(limits::FRAME_BYTES_MAX.is_power_of_two() && limits::BLOCK_BYTES.is_power_of_two());

/// Checks every whole page of bytes that begin with a page, and answers the worst that was found.
///
/// # Errors
/// As [`Pages::check`].
pub fn check_pages(pages: &dyn Pages, bytes: &mut [u8], offset: u64) -> io::Result<PageCheck> {
    let size = pages.page_bytes();
    let mut worst = PageCheck::Ok;
    for (page, offset) in bytes.chunks_exact_mut(size).zip((offset..).step_by(size)) {
        worst = worst.max(pages.check(page, offset)?);
    }
    Ok(worst)
}

/// A slice as the page that it must be.
///
/// # Errors
/// `InvalidInput` when it is shorter or longer than a page, or does not begin where one does.
pub fn whole_page<const BYTES: usize>(
    page: &mut [u8],
    offset: u64,
) -> io::Result<&mut [u8; BYTES]> {
    let given = page.len();
    let whole = page
        .as_mut_array()
        .filter(|_| offset.is_multiple_of(BYTES as u64));
    whole.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{given} bytes at {offset} are no page of {BYTES} bytes"),
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages whose first byte says what is found.
    struct Fours;

    impl Pages for Fours {
        fn page_bytes(&self) -> usize {
            4
        }

        fn check(&self, page: &mut [u8], offset: u64) -> io::Result<PageCheck> {
            let page = whole_page::<4>(page, offset)?;
            Ok(match page[0] {
                0 => PageCheck::Ok,
                1 => PageCheck::Reread,
                _ => PageCheck::Torn,
            })
        }
    }

    #[test]
    fn the_worst_of_the_whole_pages_counts() {
        let found = |bytes: &[u8]| check_pages(&Fours, &mut bytes.to_vec(), 8).expect("whole");
        assert_eq!(found(&[]), PageCheck::Ok);
        assert_eq!(found(&[0, 0, 0, 0, 1, 0, 0, 0]), PageCheck::Reread);
        assert_eq!(found(&[2, 0, 0, 0, 1, 0, 0, 0]), PageCheck::Torn);
        assert_eq!(found(&[0, 0, 0, 0, 2, 2, 2]), PageCheck::Ok, "no page");
    }

    #[test]
    fn what_is_no_whole_page_is_an_error() {
        for (bytes, offset) in [(3, 0), (5, 0), (8, 0), (0, 0), (4, 2)] {
            let refused = Fours.check(&mut vec![0; bytes], offset);
            let error = refused.expect_err("no page");
            assert_eq!(
                error.kind(),
                io::ErrorKind::InvalidInput,
                "{bytes} {offset}"
            );
        }
        assert!(check_pages(&Fours, &mut [0; 4], 2).is_err());
    }
}
