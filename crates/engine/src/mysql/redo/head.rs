//! The first bytes of a redo file: which part of the log it has, and where recovery begins.
//!
//! It does not know the log's blocks.
/// Bytes in front of a file's first block.
pub(in crate::mysql) const HEAD_BYTES: usize = 2048;
/// Bytes of each of the four parts of a head.
const PART: usize = 512;
/// Where a part has its sum.
const SUM: usize = PART - 4;
const FORMAT: u32 = 6;
const START: usize = 8;
const FLAGS: usize = 48;
/// Where the parts are that say where recovery begins, and where in them it says so.
const CHECKPOINTS: [usize; 2] = [PART, 3 * PART];
const CHECKPOINT_LSN: usize = 8;
const ENCRYPTION: usize = 2 * PART;

/// Nothing is logged; the data is not safe from a crash; the files are only being made.
const FLAGS_UNUSABLE: u32 = 1 | 2 | 4;
/// The next file goes on where this one ends.
const FLAG_FULL: u32 = 8;

/// What is wrong with a file's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::mysql) enum HeadFault {
    /// Its sum does not hold: it may be half-written.
    #[error("its head's checksum does not hold")]
    Sum,
    /// It is of another release.
    #[error("its format is number {0}, which dumps cannot keep")]
    Format(u32),
    /// Logging was switched off.
    #[error("it is of a server whose redo log was switched off")]
    Unusable,
    /// It is encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// It does not begin where a block does.
    #[error("it begins where no block does")]
    Place,
}

/// A file's head that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) struct FileHead {
    bytes: [u8; HEAD_BYTES],
}

impl FileHead {
    /// Takes the first bytes of a file for its head.
    pub(in crate::mysql) fn read(bytes: [u8; HEAD_BYTES]) -> Result<Self, HeadFault> {
        let head = Self { bytes };
        if !head.part_holds(0) {
            return Err(HeadFault::Sum);
        }
        match head.word(0) {
            FORMAT => {}
            other => return Err(HeadFault::Format(other)),
        }
        if head.word(FLAGS) & FLAGS_UNUSABLE != 0 {
            return Err(HeadFault::Unusable);
        }
        if bytes[ENCRYPTION..ENCRYPTION + PART]
            .iter()
            .any(|byte| *byte != 0)
        {
            return Err(HeadFault::Encrypted);
        }
        match head.start_lsn().is_multiple_of(super::BLOCK_BYTES as u64) {
            true => Ok(head),
            false => Err(HeadFault::Place),
        }
    }

    /// The place of its first block.
    pub(in crate::mysql) fn start_lsn(&self) -> u64 {
        self.long(START)
    }

    /// Whether the log goes on in the next file.
    pub(in crate::mysql) fn is_full(&self) -> bool {
        self.word(FLAGS) & FLAG_FULL != 0
    }

    /// Where recovery begins, if this file says so: the latest such place that it has.
    pub(in crate::mysql) fn checkpoint(&self) -> Option<u64> {
        let held = CHECKPOINTS.iter().filter(|at| self.part_holds(**at));
        held.map(|at| self.long(at + CHECKPOINT_LSN))
            .filter(|lsn| *lsn != 0)
            .max()
    }

    /// Whether nothing of what it says of recovery is damaged. A server goes by what is left.
    pub(in crate::mysql) fn is_whole(&self) -> bool {
        let is_blank = |at: usize| self.bytes[at..at + PART].iter().all(|byte| *byte == 0);
        CHECKPOINTS
            .iter()
            .all(|at| self.part_holds(*at) || is_blank(*at))
    }

    /// The head of the same file in a dump: `checkpoint` where recovery begins, if that is in this file; and
    /// whether the next file goes on, so that a server misses it when it is not there.
    pub(in crate::mysql) fn in_dump(
        &self,
        checkpoint: Option<u64>,
        is_full: bool,
    ) -> [u8; HEAD_BYTES] {
        let mut bytes = self.bytes;
        let flags = match is_full {
            true => self.word(FLAGS) | FLAG_FULL,
            false => self.word(FLAGS) & !FLAG_FULL,
        };
        bytes[FLAGS..FLAGS + 4].copy_from_slice(&flags.to_be_bytes());
        sign(&mut bytes[..PART]);
        for at in CHECKPOINTS {
            let part = &mut bytes[at..at + PART];
            part.fill(0);
            if let Some(lsn) = checkpoint {
                part[CHECKPOINT_LSN..CHECKPOINT_LSN + 8].copy_from_slice(&lsn.to_be_bytes());
                sign(part);
            }
        }
        bytes
    }

    fn part_holds(&self, at: usize) -> bool {
        crc32c::crc32c(&self.bytes[at..at + SUM]) == self.word(at + SUM)
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.bytes[at..].first_chunk().copied();
        u32::from_be_bytes(bytes.unwrap_or_default())
    }

    fn long(&self, at: usize) -> u64 {
        let bytes = self.bytes[at..].first_chunk().copied();
        u64::from_be_bytes(bytes.unwrap_or_default())
    }
}

/// Gives a part the sum that its bytes need.
fn sign(part: &mut [u8]) {
    let sum = crc32c::crc32c(&part[..SUM]);
    part[SUM..].copy_from_slice(&sum.to_be_bytes());
}
