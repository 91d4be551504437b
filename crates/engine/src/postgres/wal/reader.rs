//! From the log's pages to its records, one after another, each checked by its checksum.
//!
//! It does not know what records say, beyond the one that ends a segment early.
use std::{fs::File, io, os::unix::fs::FileExt};

use super::{
    record::{HEADER_BYTES, Record},
    segments::{HEAD_BYTES, PAGE_BYTES, Segments},
};
use crate::folder::Folder;

/// A page's header, and that of a segment's first page.
const SHORT_HEADER: usize = 24;
const LONG_HEADER: usize = HEAD_BYTES;
/// Flags of a page's header.
const FIRST_IS_REST: u16 = 1;
const LONG: u16 = 2;
const FIRST_REPLACES_REST: u16 = 8;
const ALL_FLAGS: u16 = 15;
/// The formats that are known, by the number that begins a page: PostgreSQL 15, 16, 17 and 18.
const FORMATS: [u16; 4] = [0xD110, 0xD113, 0xD116, 0xD118];
/// Bytes of a record at most: what PostgreSQL itself can allocate.
const RECORD_BYTES_MAX: u32 = 1 << 30;
/// Bytes of a record that are kept: all of its headers and block data, and what fits of the rest.
pub(super) const KEPT_BYTES: usize = 16 << 20;

/// Why the log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(in crate::postgres) enum LogFault {
    /// The log ends before this page.
    #[error("its log ends at {}", super::super::document::lsn_text(*.0))]
    Ends(u64),
    /// A page is not one of this log.
    #[error("its log is damaged at {}: {why}", super::super::document::lsn_text(*.at))]
    Damaged {
        /// The page's or record's place.
        at: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// A format that this version of Snapferry does not know.
    #[error("its log is of the format {0:#06X}, which is not known")]
    Format(u16),
    /// The operating system refused.
    #[error("its log cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// No log gets this far.
const PLACE_MAX: u64 = 1 << 62;

/// Where pages come from.
pub(in crate::postgres) trait Pages {
    /// Fills the page at this place of the log; false when it is not there.
    ///
    /// # Errors
    /// The system's.
    fn page(&mut self, at: u64, page: &mut [u8; PAGE_BYTES]) -> io::Result<bool>;
}

/// The segments in a folder, `pg_wal`.
#[derive(Debug)]
pub(in crate::postgres) struct Files<'a> {
    folder: &'a Folder,
    segments: Segments,
    open: Option<(u64, File)>,
    /// No segment behind this one.
    last: u64,
}

impl<'a> Files<'a> {
    pub(in crate::postgres) fn new(folder: &'a Folder, segments: Segments, last: u64) -> Self {
        Self {
            folder,
            segments,
            open: None,
            last,
        }
    }
}

impl Pages for Files<'_> {
    fn page(&mut self, at: u64, page: &mut [u8; PAGE_BYTES]) -> io::Result<bool> {
        let number = self.segments.number(at);
        if self.last < number {
            return Ok(false);
        }
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            self.open = match self.folder.file(&self.segments.name(number)) {
                Ok(file) => Some((number, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            };
        }
        let Some((_, file)) = &self.open else {
            return Ok(false);
        };
        match file.read_exact_at(page, at % self.segments.bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A page's header, checked.
#[derive(Debug, Clone, Copy)]
struct PageHeader {
    flags: u16,
    /// Bytes of a record that began on an earlier page.
    rest: u32,
    bytes: usize,
}

/// Reads records in the order of the log.
#[derive(Debug)]
pub(in crate::postgres) struct Reader<P> {
    pages: P,
    segments: Segments,
    /// Where the next record begins.
    at: u64,
    /// Where the last one began.
    before: Option<u64>,
    page: Box<[u8; PAGE_BYTES]>,
    /// Which page that is, once one was read.
    held: Option<(u64, PageHeader)>,
    format: Option<u16>,
    kept: Vec<u8>,
}

impl<P: Pages> Reader<P> {
    /// Begins at a record's place, or at a page's beginning.
    pub(in crate::postgres) fn new(pages: P, segments: Segments, at: u64) -> Self {
        Self {
            pages,
            segments,
            at,
            before: None,
            page: Box::new([0; PAGE_BYTES]),
            held: None,
            format: None,
            kept: Vec::new(),
        }
    }

    /// The pages, which may become more.
    pub(in crate::postgres) fn pages_mut(&mut self) -> &mut P {
        &mut self.pages
    }

    /// Where the next record would begin.
    pub(in crate::postgres) fn at(&self) -> u64 {
        self.at
    }

    /// The next record.
    ///
    /// # Errors
    /// [`LogFault::Ends`] when it is not there whole; what is damaged.
    pub(in crate::postgres) fn next(&mut self) -> Result<Record<'_>, LogFault> {
        let (lsn, total) = loop {
            let header = self.turn_to(self.at)?;
            let mut at = self.at;
            if offset(at) == 0 {
                if header.flags & FIRST_IS_REST != 0 {
                    return Err(damaged(at, "a record's rest is where one should begin"));
                }
                at += header.bytes as u64;
            } else if offset(at) < header.bytes {
                return Err(damaged(at, "no record begins here"));
            }
            if let Some(total) = self.gather(at)? {
                break (at, total);
            }
        };
        let kept = &self.kept[..];
        if self.before.is_some_and(|before| before != long(kept, 8)) {
            return Err(damaged(lsn, "it does not follow the record before it"));
        }
        self.before = Some(lsn);
        let record = Record::parse(lsn, total, kept).map_err(|why| damaged(lsn, why))?;
        if record.ends_segment() {
            self.at = self.at.next_multiple_of(self.segments.bytes);
        }
        Ok(record)
    }

    /// Reads the record at this place into `kept`, checks it and steps behind it; none when the
    /// server gave it up halfway and wrote on behind it.
    fn gather(&mut self, lsn: u64) -> Result<Option<u32>, LogFault> {
        // Records begin at multiples of eight, so the length is never cut.
        let from = offset(lsn);
        if !from.is_multiple_of(8) {
            return Err(damaged(lsn, "no record begins here"));
        }
        let total = word(&self.page[..], from);
        if total < HEADER_BYTES as u32 {
            return Err(match total {
                0 => LogFault::Ends(lsn),
                _ => damaged(lsn, "a record is too short"),
            });
        }
        if RECORD_BYTES_MAX < total {
            return Err(damaged(lsn, "a record is too long"));
        }
        self.kept.clear();
        let (mut left, mut at, mut crc) = (total as usize, lsn, 0);
        loop {
            let from = offset(at);
            let here = left.min(PAGE_BYTES - from);
            crc = self.keep(from, here, total as usize - left, crc);
            (left, at) = (left - here, at + here as u64);
            if left == 0 {
                break;
            }
            let header = self.turn_to(at)?;
            if header.flags & FIRST_REPLACES_REST != 0 {
                self.at = at;
                return Ok(None);
            }
            if header.flags & FIRST_IS_REST == 0 || header.rest as usize != left {
                return Err(damaged(at, "a record's rest is missing"));
            }
            at += header.bytes as u64;
        }
        crc = crc32c::crc32c_append(crc, &self.kept[..HEADER_BYTES - 4]);
        if crc != word(&self.kept, HEADER_BYTES - 4) {
            return Err(damaged(lsn, "a record's checksum does not hold"));
        }
        self.at = at.next_multiple_of(8);
        Ok(Some(total))
    }

    /// Takes bytes of the page, which follow so many of the record, and adds to its checksum
    /// those behind the header.
    fn keep(&mut self, from: usize, count: usize, done: usize, crc: u32) -> u32 {
        let bytes = &self.page[from..from + count];
        let room = KEPT_BYTES.saturating_sub(self.kept.len()).min(count);
        self.kept.extend_from_slice(&bytes[..room]);
        let header = HEADER_BYTES.saturating_sub(done).min(count);
        crc32c::crc32c_append(crc, &bytes[header..])
    }

    /// Makes sure of the page that holds this place.
    fn turn_to(&mut self, at: u64) -> Result<PageHeader, LogFault> {
        if PLACE_MAX < at {
            return Err(LogFault::Ends(at));
        }
        let start = at - offset(at) as u64;
        if let Some((held, header)) = self.held
            && held == start
        {
            return Ok(header);
        }
        self.held = None;
        if !self.pages.page(start, &mut self.page)? {
            return Err(LogFault::Ends(start));
        }
        let header = self.header(start)?;
        self.held = Some((start, header));
        Ok(header)
    }

    fn header(&mut self, at: u64) -> Result<PageHeader, LogFault> {
        let page = &self.page[..];
        let (magic, flags) = (half(page, 0), half(page, 2));
        if magic == 0 {
            return Err(LogFault::Ends(at));
        }
        if !FORMATS.contains(&magic) {
            return Err(LogFault::Format(magic));
        }
        if *self.format.get_or_insert(magic) != magic {
            return Err(damaged(at, "its pages are of two formats"));
        }
        let is_first = at.is_multiple_of(self.segments.bytes);
        if flags & !ALL_FLAGS != 0 || (flags & LONG != 0) != is_first {
            return Err(damaged(at, "a page's flags are not those of its place"));
        }
        if long(page, 8) != at {
            return Err(damaged(at, "a page is that of another place"));
        }
        if self.segments.timeline < word(page, 4) {
            return Err(damaged(at, "a page is of a later timeline"));
        }
        let head = self.page.first_chunk().expect("a page is longer");
        if is_first && !self.segments.is_ours(head) {
            return Err(damaged(at, "a segment is of another cluster"));
        }
        Ok(PageHeader {
            flags,
            rest: word(page, 16),
            bytes: if is_first { LONG_HEADER } else { SHORT_HEADER },
        })
    }
}

fn offset(at: u64) -> usize {
    usize::try_from(at % PAGE_BYTES as u64).expect("less than a page")
}

fn damaged(at: u64, why: &'static str) -> LogFault {
    LogFault::Damaged { at, why }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

/// Callers have made sure of the bytes.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
