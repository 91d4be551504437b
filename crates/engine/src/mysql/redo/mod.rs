//! InnoDB's redo log: its files' heads, and the blocks that they consist of.
//!
//! It does not know who writes it, nor what is in its records. The format is number 6, that of 8.0.30 and all
//! that came after it; see `log0types.h` and `log0files_io.cc`.
mod block;
mod head;

pub(super) use block::{BLOCK_BYTES, BlockFault, whole_blocks};
pub(super) use head::{FileHead, HEAD_BYTES, HeadFault};

/// The folder of the redo log in a data folder.
pub(super) const FOLDER: &str = "#innodb_redo";
/// How names of its files begin; their number follows.
const FILE_PREFIX: &str = "#ib_redo";
/// How names of files end that hold nothing yet.
const SPARE_SUFFIX: &str = "_tmp";

/// What an entry of the redo log's folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The file of this number.
    File(u64),
    /// A file that holds nothing yet.
    Spare,
    /// None of the log's.
    Other,
}

/// What an entry is by its name.
pub(super) fn judge_name(name: &str) -> Named {
    let Some(rest) = name.strip_prefix(FILE_PREFIX) else {
        return Named::Other;
    };
    let (digits, is_spare) = match rest.strip_suffix(SPARE_SUFFIX) {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    match digits.parse() {
        Ok(_) if is_number && is_spare => Named::Spare,
        Ok(number) if is_number => Named::File(number),
        _ => Named::Other,
    }
}

/// The name of a file of the log.
pub(super) fn file_name(number: u64) -> String {
    format!("{FILE_PREFIX}{number}")
}

/// The first byte of the block that a place is in.
pub(super) fn block_of(lsn: u64) -> u64 {
    lsn - lsn % BLOCK_BYTES as u64
}

/// Where the blocks end that a log up to this place needs: a place behind a block's head alone needs nothing
/// of that block, which may never have been written.
pub(super) fn blocks_end(lsn: u64) -> u64 {
    match lsn % BLOCK_BYTES as u64 {
        rest if rest <= block::HEAD_BYTES as u64 => lsn - rest,
        _ => block_of(lsn) + BLOCK_BYTES as u64,
    }
}

#[cfg(test)]
mod tests;
