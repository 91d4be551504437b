//! A block of the redo log: its number, how much of it is used, and its sum.
//!
//! It does not know files.
/// Bytes of a block.
pub(in crate::mysql) const BLOCK_BYTES: usize = 512;
/// Bytes of a block's head.
pub(super) const HEAD_BYTES: usize = 12;
/// Where a block has its sum.
const SUM: usize = BLOCK_BYTES - 4;
/// The bits of the first word that are the block's number; the highest says that a write began here.
const NUMBER_BITS: u32 = 0x7FFF_FFFF;
/// How many blocks have numbers of their own, from 1 on; then another epoch begins.
const NUMBERS: u64 = 1 << 30;
/// Says of the used bytes that they are encrypted.
const ENCRYPTED: u16 = 0x8000;

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::mysql) enum BlockFault {
    /// Its sum does not hold: it may be half-written.
    #[error("its checksum does not hold")]
    Sum,
    /// It is of another place: it may be what the place held before.
    #[error("it is of another place in the log")]
    Elsewhere,
    /// It ends before the place that it must have.
    #[error("it ends too early")]
    Short,
    /// It is encrypted.
    #[error("it is encrypted")]
    Encrypted,
}

/// Checks the block that begins at this place. `end`: where the log must have got to, if that is in it.
pub(in crate::mysql) fn check_block(
    block: &[u8; BLOCK_BYTES],
    lsn: u64,
    end: u64,
) -> Result<(), BlockFault> {
    let word =
        |at: usize| u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    if crc32c::crc32c(&block[..SUM]) != word(SUM) {
        return Err(BlockFault::Sum);
    }
    let index = lsn / BLOCK_BYTES as u64;
    let number = u64::from(word(0) & NUMBER_BITS);
    if number != 1 + index % NUMBERS || u64::from(word(8)) != 1 + index / NUMBERS {
        return Err(BlockFault::Elsewhere);
    }
    let used = u16::from_be_bytes([block[4], block[5]]);
    if used & ENCRYPTED != 0 {
        return Err(BlockFault::Encrypted);
    }
    let wanted = end.saturating_sub(lsn).min(BLOCK_BYTES as u64);
    match u64::from(used) < wanted {
        true => Err(BlockFault::Short),
        false => Ok(()),
    }
}

/// How many bytes at the beginning are whole blocks that are as they must be, the first of them at `lsn`; and
/// what is wrong with the one behind them.
pub(in crate::mysql) fn whole_blocks(
    bytes: &[u8],
    lsn: u64,
    end: u64,
) -> (usize, Option<BlockFault>) {
    let mut good = 0;
    for block in bytes.as_chunks::<BLOCK_BYTES>().0 {
        if let Err(fault) = check_block(block, lsn + good as u64, end) {
            return (good, Some(fault));
        }
        good += BLOCK_BYTES;
    }
    (good, None)
}
