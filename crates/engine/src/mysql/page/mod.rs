//! Pages of InnoDB's files: what they must be, and whether they are.
//!
//! It does not know files. The sums are those of `buf0checksum.cc` and `page0zip.cc`.
mod fields;
mod packed;

use fields::{CHECKSUM, DATA, FLUSH_LSN, KIND, LSN, NUMBER, SPACE, TRAILER, be16, be32};
use packed::unpack;

pub(super) use fields::{PAGE_BYTES, PAGE_BYTES_MIN};

/// Where the first page has the flags of its tablespace.
const SPACE_FLAGS: usize = 54;

/// Kinds of pages that matter here.
const KIND_PACKED: u16 = 14;
const KINDS_ENCRYPTED: std::ops::RangeInclusive<u16> = 15..=17;

/// Bits of a tablespace's flags.
const FLAG_ELSEWHERE: u32 = 1 << 10;
const FLAG_TEMPORARY: u32 = 1 << 12;
const FLAG_ENCRYPTED: u32 = 1 << 13;

/// Of what pages a file consists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// The tablespace's number.
    space: u32,
    /// Bytes of a page on disk: 1, 2, 4, 8 or 16 KiB.
    page_bytes: usize,
    /// Whether pages are compressed as `ROW_FORMAT=COMPRESSED` does.
    compressed: bool,
}

/// Why a file's first page does not say of what it consists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayoutFault {
    /// Its sum does not hold, or it was never written: it may be half-written.
    Damaged,
    /// It holds, and no dump has such files; why.
    Unsupported(&'static str),
}

/// What the bytes of a page say about themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its sum and its place hold, or it was never written.
    Good,
    /// They do not.
    Bad,
    /// It is encrypted, so that nothing can be said of it.
    Encrypted,
}

impl Layout {
    /// Reads the beginning of a file: [`PAGE_BYTES`] of it, or all that there are.
    pub(super) fn of(beginning: &[u8]) -> Result<Self, LayoutFault> {
        if beginning.len() < PAGE_BYTES_MIN {
            return Err(LayoutFault::Damaged);
        }
        let flags = be32(beginning, SPACE_FLAGS);
        if (flags >> 6) & 0xF != 0 {
            return Err(LayoutFault::Unsupported("has pages that are not of 16 KiB"));
        }
        let page_bytes = match (flags >> 1) & 0xF {
            0 => PAGE_BYTES,
            shift @ 1..=5 => 512 << shift,
            _ => return Err(LayoutFault::Damaged),
        };
        let layout = Self {
            space: be32(beginning, SPACE),
            page_bytes,
            compressed: (flags >> 1) & 0xF != 0,
        };
        let first = beginning.get(..page_bytes).ok_or(LayoutFault::Damaged)?;
        if is_blank(first) || layout.judge(first, 0) != Verdict::Good {
            return Err(LayoutFault::Damaged);
        }
        for (flag, why) in [
            (FLAG_ENCRYPTED, "is encrypted, which dumps cannot keep"),
            (FLAG_TEMPORARY, "is a temporary tablespace"),
            (FLAG_ELSEWHERE, "is a table whose place its owner chose"),
        ] {
            if flags & flag != 0 {
                return Err(LayoutFault::Unsupported(why));
            }
        }
        Ok(layout)
    }

    /// Bytes of a page on disk.
    pub(super) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Judges a page of [`Layout::page_bytes`] that was read from this place, counted in pages.
    pub(super) fn judge(&self, page: &[u8], number: u32) -> Verdict {
        if is_blank(page) {
            return Verdict::Good;
        }
        let kind = be16(page, KIND);
        let sum_holds = match self.compressed {
            true => be32(page, CHECKSUM) == compressed_sum(page),
            false if kind == KIND_PACKED => unpack(page).is_some_and(|page| plain_holds(&page[..])),
            false => plain_holds(page),
        };
        let in_place = be32(page, NUMBER) == number && be32(page, SPACE) == self.space;
        match sum_holds && in_place {
            true => Verdict::Good,
            false if KINDS_ENCRYPTED.contains(&kind) => Verdict::Encrypted,
            false => Verdict::Bad,
        }
    }
}

/// Where the log was when the server that wrote this first page of the system's tablespace shut down.
pub(super) fn flush_lsn(first_page: &[u8]) -> Option<u64> {
    let bytes = first_page.get(FLUSH_LSN..FLUSH_LSN + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn is_blank(page: &[u8]) -> bool {
    be32(page, CHECKSUM) == 0 && page.iter().all(|byte| *byte == 0)
}

/// A page as it is in memory.
fn plain_holds(page: &[u8]) -> bool {
    let end = page.len() - TRAILER;
    let sum = crc32c::crc32c(&page[NUMBER..FLUSH_LSN]) ^ crc32c::crc32c(&page[DATA..end]);
    be32(page, CHECKSUM) == sum
        && be32(page, end) == sum
        && page[LSN + 4..LSN + 8] == page[end + 4..]
}

/// The sum that a page of a compressed table must carry.
fn compressed_sum(page: &[u8]) -> u32 {
    crc32c::crc32c(&page[NUMBER..LSN])
        ^ crc32c::crc32c(&page[KIND..FLUSH_LSN])
        ^ crc32c::crc32c(&page[SPACE..])
}

#[cfg(test)]
mod tests;
