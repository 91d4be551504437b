//! What records do to files as wholes: relations and databases that are made, copied, removed.
//!
//! It does not know changes of blocks, which every record lists by itself.
use super::record::{Cursor, Record, Relation};

/// Resource managers whose records these are.
const RM_XACT: u8 = 1;
const RM_SMGR: u8 = 2;
const RM_DBASE: u8 = 4;
const RM_TBLSPC: u8 = 5;
const RM_RELMAP: u8 = 7;
/// Kinds of an end of a transaction, by the bits that tell them, and the bit for more parts.
const XACT_KIND: u8 = 0x70;
const XACT_ENDS: [u8; 4] = [0x00, 0x20, 0x30, 0x40];
const XACT_HAS_INFO: u8 = 0x80;
const HAS_DATABASE: u32 = 1;
const HAS_CHILDREN: u32 = 2;
const HAS_DROPPED: u32 = 4;
/// Bytes of a relation's three numbers.
const RELATION_BYTES: usize = 12;

/// What a record does beside changing blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum Event<'a> {
    /// Nothing.
    None,
    /// Makes a fork of a relation.
    Made { relation: Relation, fork: u32 },
    /// Cuts a relation: this block and those behind it go.
    Cut { relation: Relation, first: u32 },
    /// Ends a transaction, and removes relations with it.
    Removed(Removed<'a>),
    /// Makes a database by copying another one's files.
    Copied {
        database: u32,
        tablespace: u32,
        from: u32,
        from_tablespace: u32,
    },
    /// Makes a database, whose relations are then made one by one.
    Begun { database: u32 },
    /// Removes a database.
    Dropped { database: u32 },
    /// Writes a database's relation map; 0 for the shared one.
    Mapped { database: u32 },
    /// Makes or removes a tablespace.
    Tablespace,
}

/// Relations that go with a transaction's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) struct Removed<'a> {
    relations: &'a [u8],
    /// Whether these are all: a very long record is not kept whole.
    pub(in crate::postgres) is_all: bool,
}

impl Removed<'_> {
    pub(in crate::postgres) fn relations(&self) -> impl Iterator<Item = Relation> {
        let chunks = self.relations.chunks_exact(RELATION_BYTES);
        chunks.filter_map(|bytes| Cursor(bytes).relation())
    }
}

impl<'a> Record<'a> {
    /// What the record does beside changing blocks.
    ///
    /// # Errors
    /// When its data are too few.
    pub(in crate::postgres) fn event(&self) -> Result<Event<'a>, &'static str> {
        let mut data = Cursor(self.data);
        let event = match (self.manager, self.info) {
            (RM_SMGR, 0x10) => made(&mut data),
            (RM_SMGR, 0x20) => cut(&mut data),
            (RM_DBASE, 0x00) => copied(&mut data),
            (RM_DBASE, 0x10) => data.word().map(|database| Event::Begun { database }),
            (RM_DBASE, 0x20) => data.word().map(|database| Event::Dropped { database }),
            (RM_RELMAP, 0x00) => data.word().map(|database| Event::Mapped { database }),
            (RM_TBLSPC, _) => Some(Event::Tablespace),
            (RM_XACT, info) if XACT_ENDS.contains(&(info & XACT_KIND)) => {
                removed(data, info, self.is_whole)
            }
            _ => Some(Event::None),
        };
        event.ok_or("a record's data are cut")
    }
}

fn made<'a>(data: &mut Cursor<'_>) -> Option<Event<'a>> {
    Some(Event::Made {
        relation: data.relation()?,
        fork: data.word()?,
    })
}

fn cut<'a>(data: &mut Cursor<'_>) -> Option<Event<'a>> {
    let first = data.word()?;
    Some(Event::Cut {
        relation: data.relation()?,
        first,
    })
}

fn copied<'a>(data: &mut Cursor<'_>) -> Option<Event<'a>> {
    Some(Event::Copied {
        database: data.word()?,
        tablespace: data.word()?,
        from: data.word()?,
        from_tablespace: data.word()?,
    })
}

fn removed(mut data: Cursor<'_>, info: u8, is_whole: bool) -> Option<Event<'_>> {
    if info & XACT_HAS_INFO == 0 {
        return Some(Event::None);
    }
    data.skip(8)?;
    let parts = data.word()?;
    if parts & HAS_DROPPED == 0 {
        return Some(Event::None);
    }
    let relations = dropped(&mut data, parts);
    match (relations, is_whole) {
        (Some(relations), _) => Some(Event::Removed(Removed {
            relations,
            is_all: true,
        })),
        // Some of them are behind what was kept.
        (None, false) => Some(Event::Removed(Removed {
            relations: &[],
            is_all: false,
        })),
        (None, true) => None,
    }
}

fn dropped<'a>(data: &mut Cursor<'a>, parts: u32) -> Option<&'a [u8]> {
    if parts & HAS_DATABASE != 0 {
        data.skip(8)?;
    }
    if parts & HAS_CHILDREN != 0 {
        let children = usize::try_from(data.word()?).ok()?;
        data.skip(children.checked_mul(4)?)?;
    }
    let count = usize::try_from(data.word()?).ok()?;
    data.take(count.checked_mul(RELATION_BYTES)?)
}
