//! Which blocks changed since when.
//!
//! It does not know where records come from.
use std::collections::HashMap;

use super::super::{
    review::Place,
    wal::{Event, Record, Relation},
};

/// Blocks that are kept in mind one by one, at most: some 10 MB for 4 GiB that changed. Beyond, the
/// relation with the most of them counts as changed from its first block on.
const BLOCKS_MAX: usize = 500_000;
/// Relations and databases at most.
const RELATIONS_MAX: usize = 100_000;
/// The forks whose numbers are known: main, free space, visible pages, template.
const MAIN_FORK: u8 = 0;
const INIT_FORK: u8 = 3;
/// The tablespaces that a dump can have: `base` and `global`.
const DEFAULT_TABLESPACE: u32 = 1663;
const GLOBAL_TABLESPACE: u32 = 1664;
/// Resource managers behind this one are extensions', whose records may mean anything.
const LAST_MANAGER: u8 = 21;
/// Records of the log's own manager behind which other rules may hold: that the server ended or came
/// back, which settings it has, whether pages are written whole, and that it was promoted. Whoever may
/// change files of a server that does not run leaves no record of it.
const RM_XLOG: u8 = 0;
const RULES_CHANGE: [u8; 4] = [0x00, 0x60, 0x80, 0x90];
/// A moment is kept as a page of the log, in 32 bits.
const MOMENT_BITS: u32 = 13;

/// A moment of the log, rounded down: whatever is rounded counts as changed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u32);

impl Moment {
    fn of(lsn: u64) -> Self {
        Self(u32::try_from(lsn >> MOMENT_BITS).unwrap_or(u32::MAX))
    }
}

/// When a relation's blocks changed last.
#[derive(Debug, Clone, Default)]
struct Changed {
    blocks: HashMap<u32, Moment>,
    /// From which block on all changed, and when: both rise, since a later one of a lower block
    /// makes the earlier ones of higher blocks superfluous.
    from: Vec<(Moment, u32)>,
}

impl Changed {
    fn cut(&mut self, first: u32, at: Moment) {
        while self.from.pop_if(|(_, block)| first <= *block).is_some() {}
        self.from.push((at, first));
    }

    fn forget_before(&mut self, moment: Moment) {
        self.blocks.retain(|_, at| moment <= *at);
        self.from.retain(|(at, _)| moment <= *at);
    }

    fn is_changed(&self, block: u32) -> bool {
        // The first is the lowest.
        let from = self.from.first();
        from.is_some_and(|(_, first)| *first <= block) || self.blocks.contains_key(&block)
    }
}

/// The blocks that were changed by a stretch of the log.
#[derive(Debug, Clone)]
pub(super) struct ChangeMap {
    /// All records from here on are in it.
    from: u64,
    relations: HashMap<Place, Changed>,
    /// Databases whose files were made or removed as a whole.
    databases: HashMap<u32, Moment>,
    /// In all relations.
    blocks: usize,
    blocks_max: usize,
}

impl ChangeMap {
    /// An empty one, for the log from here on.
    pub(super) fn new(from: u64) -> Self {
        Self::within(from, BLOCKS_MAX)
    }

    /// The same with fewer blocks at most.
    pub(super) fn within(from: u64, blocks_max: usize) -> Self {
        Self {
            from,
            relations: HashMap::new(),
            databases: HashMap::new(),
            blocks: 0,
            blocks_max,
        }
    }

    /// All records from here on are in it.
    pub(super) fn from(&self) -> u64 {
        self.from
    }

    /// Adds what the next record changes.
    ///
    /// # Errors
    /// Why nothing can be said any more of what changed: a map may begin behind this record, and
    /// none may reach over it.
    pub(super) fn note(&mut self, record: &Record<'_>) -> Result<(), &'static str> {
        if LAST_MANAGER < record.manager {
            return Err("a record is of an extension's resource manager");
        }
        if record.manager == RM_XLOG && RULES_CHANGE.contains(&record.info) {
            return Err("the server ended, or the rules change by which the log is written");
        }
        let at = Moment::of(record.lsn);
        for block in &record.blocks {
            if INIT_FORK < block.fork {
                return Err("a record names a fork that is not known");
            }
            let place = place_of(block.relation)?;
            if block.fork == MAIN_FORK {
                self.block(place, block.number, at);
            }
        }
        match record.event()? {
            Event::None | Event::Mapped { .. } => {}
            Event::Made { relation, .. } => self.cut(place_of(relation)?, 0, at),
            Event::Cut { relation, first } => self.cut(place_of(relation)?, first, at),
            Event::Removed(removed) => {
                if !removed.is_all {
                    return Err("a record removes more relations than are read");
                }
                for relation in removed.relations() {
                    self.cut(place_of(relation)?, 0, at);
                }
            }
            Event::Begun { database }
            | Event::Copied { database, .. }
            | Event::Dropped { database } => {
                self.databases.insert(database, at);
            }
            Event::Tablespace => return Err("a tablespace is made or removed"),
        }
        match self.relations.len() + self.databases.len() <= RELATIONS_MAX {
            true => Ok(()),
            false => Err("more relations change than are kept in mind"),
        }
    }

    fn block(&mut self, place: Place, block: u32, at: Moment) {
        let changed = self.relations.entry(place).or_default();
        if changed.blocks.insert(block, at).is_none() {
            self.blocks += 1;
        }
        if self.blocks_max < self.blocks {
            let all = self.relations.iter();
            let most = all.max_by_key(|(_, changed)| changed.blocks.len());
            let place = most.map_or(place, |(place, _)| *place);
            self.cut(place, 0, at);
        }
    }

    fn cut(&mut self, place: Place, first: u32, at: Moment) {
        let changed = self.relations.entry(place).or_default();
        changed.cut(first, at);
        if first == 0 {
            self.blocks -= changed.blocks.len();
            changed.blocks = HashMap::new();
        }
    }

    /// Forgets what changed before a place: the map is then one of the log from there on.
    pub(super) fn forget_before(&mut self, lsn: u64) {
        if lsn <= self.from {
            return;
        }
        self.from = lsn;
        let moment = Moment::of(lsn);
        self.databases.retain(|_, at| moment <= *at);
        self.relations.retain(|_, changed| {
            changed.forget_before(moment);
            !changed.blocks.is_empty() || !changed.from.is_empty()
        });
        let left = self.relations.values().map(|changed| changed.blocks.len());
        self.blocks = left.sum();
    }

    /// Whether a block of a relation's main fork may be other than it was where the map begins.
    pub(super) fn is_changed(&self, place: Place, block: u32) -> bool {
        let of_relation = self.relations.get(&place);
        self.databases.contains_key(&place.0)
            || of_relation.is_some_and(|changed| changed.is_changed(block))
    }
}

fn place_of(relation: Relation) -> Result<Place, &'static str> {
    let (database, number) = (relation.database, relation.number);
    match (relation.tablespace, database) {
        (DEFAULT_TABLESPACE, 1..) | (GLOBAL_TABLESPACE, 0) => Ok((database, number)),
        _ => Err("a record names a tablespace that dumps do not have"),
    }
}
