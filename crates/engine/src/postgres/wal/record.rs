//! One record of the log: its header, the blocks it changes, and its own data.
//!
//! It does not know what the data mean: see [`super::event`].

/// Bytes of a record's header.
pub(super) const HEADER_BYTES: usize = 24;
/// Blocks of one record at most, by their numbers.
const BLOCK_NUMBER_MAX: u8 = 32;
/// Parts of a record that are no blocks.
const DATA_SHORT: u8 = 255;
const DATA_LONG: u8 = 254;
const ORIGIN: u8 = 253;
const TOP_XID: u8 = 252;
/// Flags of a block, beside its fork's number.
const FORK: u8 = 0x0F;
const HAS_IMAGE: u8 = 0x10;
const SAME_RELATION: u8 = 0x80;
/// Flags of an image.
const HAS_HOLE: u8 = 0x01;
const COMPRESSED: u8 = 0x04 | 0x08 | 0x10;

/// Resource managers, whose records these are.
pub(super) const RM_XLOG: u8 = 0;
const XLOG_SWITCH: u8 = 0x40;
const XLOG_FPI_FOR_HINT: u8 = 0xA0;

/// A relation's files: tablespace, database and file number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::postgres) struct Relation {
    pub(in crate::postgres) tablespace: u32,
    pub(in crate::postgres) database: u32,
    pub(in crate::postgres) number: u32,
}

/// A block that a record changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) struct Block {
    pub(in crate::postgres) relation: Relation,
    pub(in crate::postgres) fork: u8,
    pub(in crate::postgres) number: u32,
}

/// A record whose checksum holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::postgres) struct Record<'a> {
    /// Where it begins.
    pub(in crate::postgres) lsn: u64,
    pub(in crate::postgres) total_bytes: u32,
    pub(in crate::postgres) xid: u32,
    /// The resource manager's number.
    pub(in crate::postgres) manager: u8,
    /// What kind of that manager's it is; the lower four bits are the log's own.
    pub(in crate::postgres) info: u8,
    pub(in crate::postgres) blocks: Vec<Block>,
    /// The data that belong to no block, as far as they were kept.
    pub(in crate::postgres) data: &'a [u8],
    /// Whether they were kept whole.
    pub(in crate::postgres) is_whole: bool,
}

impl<'a> Record<'a> {
    /// Reads a record of so many bytes, of which the first are here.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(super) fn parse(lsn: u64, total: u32, kept: &'a [u8]) -> Result<Self, &'static str> {
        const CUT: &str = "a record's parts do not make it up";
        let mut cursor = Cursor(kept);
        let (_, xid) = (cursor.word().ok_or(CUT)?, cursor.word().ok_or(CUT)?);
        cursor.skip(8).ok_or(CUT)?;
        let (info, manager) = (cursor.byte().ok_or(CUT)?, cursor.byte().ok_or(CUT)?);
        cursor.skip(6).ok_or(CUT)?;
        let mut parts = Parts::default();
        // What comes behind the heads must be exactly what they announce.
        while parts.announced < left(total, kept, &cursor).ok_or(CUT)? && !parts.ended {
            parts.read(&mut cursor)?;
        }
        if parts.announced != left(total, kept, &cursor).ok_or(CUT)? {
            return Err(CUT);
        }
        let start = usize::try_from(u64::from(total) - parts.data_bytes).map_err(|_| CUT)?;
        let data = kept.get(start..).unwrap_or_default();
        Ok(Self {
            lsn,
            total_bytes: total,
            xid,
            manager,
            info: info & 0xF0,
            is_whole: data.len() as u64 == parts.data_bytes,
            data,
            blocks: parts.blocks,
        })
    }

    /// Whether nothing more follows in its segment.
    pub(super) fn ends_segment(&self) -> bool {
        (self.manager, self.info) == (RM_XLOG, XLOG_SWITCH)
    }

    /// Whether it only notes what readers found out about rows, which changes nothing.
    pub(in crate::postgres) fn is_hint(&self) -> bool {
        (self.manager, self.info) == (RM_XLOG, XLOG_FPI_FOR_HINT)
    }
}

/// Bytes of the record behind the cursor.
fn left(total: u32, kept: &[u8], cursor: &Cursor<'_>) -> Option<u64> {
    u64::from(total).checked_sub((kept.len() - cursor.0.len()) as u64)
}

/// What a record's heads say of its parts.
#[derive(Debug, Default)]
struct Parts {
    blocks: Vec<Block>,
    relation: Option<Relation>,
    /// Bytes of all parts behind the heads.
    announced: u64,
    data_bytes: u64,
    /// The data come last.
    ended: bool,
}

impl Parts {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), &'static str> {
        const CUT: &str = "a record's heads are cut";
        match cursor.byte().ok_or(CUT)? {
            DATA_SHORT => self.end(cursor.byte().ok_or(CUT)?.into()),
            DATA_LONG => self.end(cursor.word().ok_or(CUT)?.into()),
            ORIGIN => cursor.skip(2).ok_or(CUT)?,
            TOP_XID => cursor.skip(4).ok_or(CUT)?,
            number if number <= BLOCK_NUMBER_MAX => {
                if usize::from(BLOCK_NUMBER_MAX) < self.blocks.len() {
                    return Err("a record has too many blocks");
                }
                self.block(cursor).ok_or(CUT)?;
            }
            _ => return Err("a record has a part of an unknown kind"),
        }
        Ok(())
    }

    fn end(&mut self, bytes: u64) {
        self.data_bytes = bytes;
        self.announced += bytes;
        self.ended = true;
    }

    fn block(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let flags = cursor.byte()?;
        self.announced += u64::from(cursor.half()?);
        if flags & HAS_IMAGE != 0 {
            self.announced += u64::from(cursor.half()?);
            cursor.skip(2)?;
            let image = cursor.byte()?;
            if image & COMPRESSED != 0 && image & HAS_HOLE != 0 {
                cursor.skip(2)?;
            }
        }
        if flags & SAME_RELATION == 0 {
            self.relation = Some(cursor.relation()?);
        }
        self.blocks.push(Block {
            relation: self.relation?,
            fork: flags & FORK,
            number: cursor.word()?,
        });
        Some(())
    }
}

/// Takes values from the front of bytes, as long as there are enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn half(&mut self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    pub(super) fn word(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    pub(super) fn relation(&mut self) -> Option<Relation> {
        Some(Relation {
            tablespace: self.word()?,
            database: self.word()?,
            number: self.word()?,
        })
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }
}
