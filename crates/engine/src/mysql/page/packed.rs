//! Pages of tables with `COMPRESSION`: packed one by one, the rest of their place a hole.
//!
//! The format is that of `file::Compression` in `os0file.cc`.
use super::fields::{DATA, FLUSH_LSN, KIND, PAGE_BYTES, SPACE, be16};

const VERSION: usize = 26;
const ALGORITHM: usize = 27;
const ORIGINAL_KIND: usize = 28;
const ORIGINAL_BYTES: usize = 30;
const PACKED_BYTES: usize = 32;

/// The page as it was before it was packed; none when it cannot be unpacked.
pub(super) fn unpack(page: &[u8]) -> Option<Box<[u8; PAGE_BYTES]>> {
    let body_bytes = usize::from(be16(page, ORIGINAL_BYTES));
    if page.len() != PAGE_BYTES
        || !(1..=2).contains(&page[VERSION])
        || body_bytes != PAGE_BYTES - DATA
    {
        return None;
    }
    let packed = page.get(DATA..DATA + usize::from(be16(page, PACKED_BYTES)))?;
    let mut unpacked = Box::new([0; PAGE_BYTES]);
    let body = &mut unpacked[DATA..];
    let got = match page[ALGORITHM] {
        1 => inflate(packed, body)?,
        2 => lz4_flex::block::decompress_into(packed, body).ok()?,
        _ => return None,
    };
    if got != body_bytes {
        return None;
    }
    unpacked[..FLUSH_LSN].copy_from_slice(&page[..FLUSH_LSN]);
    unpacked[KIND..FLUSH_LSN].copy_from_slice(&page[ORIGINAL_KIND..ORIGINAL_BYTES]);
    unpacked[SPACE..DATA].copy_from_slice(&page[SPACE..DATA]);
    Some(unpacked)
}

fn inflate(packed: &[u8], into: &mut [u8]) -> Option<usize> {
    use flate2::{Decompress, FlushDecompress, Status};
    let mut stream = Decompress::new(true);
    match stream.decompress(packed, into, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) => usize::try_from(stream.total_out()).ok(),
        _ => None,
    }
}
