//! A log in memory, written by PostgreSQL's rules, for tests.
use super::segments::{PAGE_BYTES, Segments};
use crate::postgres::control::Control;

pub(in crate::postgres) const SEGMENT: u64 = 1 << 20;
/// Where the log in these tests begins: a segment's first record.
pub(in crate::postgres) const START: u64 = 3 * SEGMENT + 40;

pub(in crate::postgres) fn segments() -> Segments {
    let mut bytes = vec![0; 8192];
    bytes[0..8].copy_from_slice(&77_u64.to_ne_bytes());
    for (at, value) in [(8, 1300), (216, 8192), (228, SEGMENT as u32), (252, 1)] {
        bytes[at..at + 4].copy_from_slice(&u32::to_ne_bytes(value));
    }
    let crc = crc32c::crc32c(&bytes[..288]);
    bytes[288..292].copy_from_slice(&crc.to_ne_bytes());
    Segments::of(&Control::read(&bytes).expect("holds"), 2)
}

/// A log in memory, from the third segment on.
#[derive(Debug, Clone, Default)]
pub(in crate::postgres) struct Log {
    pub(in crate::postgres) bytes: Vec<u8>,
    pub(in crate::postgres) before: u64,
}

impl Log {
    pub(in crate::postgres) fn at(&self) -> u64 {
        3 * SEGMENT + self.bytes.len() as u64
    }

    /// Adds bytes of a record, with a header where a page begins.
    fn push(&mut self, mut bytes: &[u8]) {
        let mut is_rest = false;
        while !bytes.is_empty() {
            if self.bytes.len().is_multiple_of(PAGE_BYTES) {
                self.header(if is_rest { bytes.len() as u32 } else { 0 });
            }
            let room = PAGE_BYTES - self.bytes.len() % PAGE_BYTES;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.bytes.extend_from_slice(now);
            (bytes, is_rest) = (later, true);
        }
    }

    fn header(&mut self, rest: u32) {
        let at = self.at();
        let is_first = at.is_multiple_of(SEGMENT);
        let flags = u16::from(rest != 0) | if is_first { 2 } else { 0 };
        self.bytes.extend(0xD110_u16.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(2_u32.to_ne_bytes());
        self.bytes.extend(at.to_ne_bytes());
        self.bytes.extend(rest.to_ne_bytes());
        self.bytes.extend([0; 4]);
        if is_first {
            self.bytes.extend(77_u64.to_ne_bytes());
            self.bytes.extend((SEGMENT as u32).to_ne_bytes());
            self.bytes.extend((PAGE_BYTES as u32).to_ne_bytes());
        }
    }

    /// Adds a record with data alone.
    pub(in crate::postgres) fn record(&mut self, manager: u8, info: u8, data: &[u8]) {
        let mut parts = vec![254];
        parts.extend((data.len() as u32).to_ne_bytes());
        parts.extend_from_slice(data);
        self.raw(manager, info, &parts);
    }

    /// Adds a record of these parts.
    pub(in crate::postgres) fn raw(&mut self, manager: u8, info: u8, parts: &[u8]) {
        let mut bytes = Vec::new();
        bytes.extend((24 + parts.len() as u32).to_ne_bytes());
        bytes.extend(5_u32.to_ne_bytes());
        bytes.extend(self.before.to_ne_bytes());
        bytes.extend([info, manager, 0, 0]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(parts), &bytes);
        bytes.extend(crc.to_ne_bytes());
        bytes.extend_from_slice(parts);
        let at = self.at();
        self.before = match at as usize % PAGE_BYTES {
            0 if at.is_multiple_of(SEGMENT) => at + 40,
            0 => at + 24,
            _ => at,
        };
        self.push(&bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    /// Fills the segment up as a switch does.
    pub(in crate::postgres) fn switch(&mut self) {
        self.raw(0, 0x40, &[]);
        while !self.at().is_multiple_of(SEGMENT) {
            if self.bytes.len().is_multiple_of(PAGE_BYTES) {
                self.header(0);
            }
            let left = PAGE_BYTES - self.bytes.len() % PAGE_BYTES;
            self.bytes.resize(self.bytes.len() + left, 0);
        }
    }
}
