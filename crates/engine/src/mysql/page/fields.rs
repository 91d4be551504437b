//! Where things lie in a page.
//!
//! It does not know what they say.
/// Bytes of a page as the server holds it in memory; on disk it may be smaller.
pub(in crate::mysql) use crate::mysql::profile::PAGE_BYTES;

/// Bytes of a file's first page at least: enough to read what the file consists of.
pub(in crate::mysql) const PAGE_BYTES_MIN: usize = 1 << 10;

pub(super) const CHECKSUM: usize = 0;
pub(super) const NUMBER: usize = 4;
pub(super) const LSN: usize = 16;
pub(super) const KIND: usize = 24;
pub(super) const FLUSH_LSN: usize = 26;
pub(super) const SPACE: usize = 34;
pub(super) const DATA: usize = 38;
/// Bytes of a page's trailer: its sum again, and the low half of its LSN.
pub(super) const TRAILER: usize = 8;

pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
