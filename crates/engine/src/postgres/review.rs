//! What the log that goes with a dump says about the dump's files: which of them must not be
//! there when it is applied, and whether they are a state at all.
//!
//! It does not know whether the dump is being taken or loaded.
//!
//! The rule for unlogged relations. Recovery ends with copying each template (init fork) to its
//! relation's main fork, which must not be there then. It clears the other forks of those whose
//! template is there when it begins; so where the log makes a template, they must not be there
//! either. They are never needed: when the template is made, its relation is unlogged, so
//! whatever logged relation had the number before was removed before, and one that gets it
//! later is in the log from its first page on.
//!
//! The rule for databases made by file copy. Recovery copies the template's files as they are
//! when it gets to that record. They are what they were at that moment only if nothing changed
//! the template between it and the log's end, since the dump may have read it later.
use std::collections::{BTreeMap, HashMap, HashSet};

use model::Told;

use super::{
    control::Control,
    wal::{Event, Files, LogFault, Reader, Record, Segments},
};
use crate::{error::EngineError, folder::Folder};

/// The number of the fork that is an unlogged relation's template.
const INIT_FORK: u32 = 3;
/// Relations and databases that are kept in mind at most.
const NOTES_MAX: usize = 4_000_000;
/// The tablespace of all databases that a dump can have.
const DEFAULT_TABLESPACE: u32 = 1663;

/// A relation's database and file number.
pub(super) type Place = (u32, u32);

/// What a dump's log says.
#[derive(Debug, Default)]
pub(super) struct Review {
    /// Relations whose template the log makes.
    unlogged: HashSet<Place>,
    /// Databases made by file copy, by what they were copied from.
    copies: HashMap<u32, HashSet<u32>>,
    /// Such databases whose template was changed afterwards, with that template.
    spoilt: BTreeMap<u32, u32>,
    /// Whether a tablespace was made or removed.
    tablespaces: bool,
    notes: usize,
}

/// Why a dump is not the state of one moment, though nothing of it is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Disturbance {
    /// A database was made by file copy, and its template changed before the dump's end.
    #[error(
        "database {made} was made from database {template} by file copy (STRATEGY file_copy), and \
         {template} was changed before the snapshot was through: the copy could come back with \
         rows it never had. Make databases with STRATEGY wal_log, or leave the template alone \
         while a snapshot is taken"
    )]
    TemplateChanged {
        /// The number of the database that was made.
        made: u32,
        /// The number of its template.
        template: u32,
    },
    /// A tablespace came or went.
    #[error(
        "a tablespace was made or removed while the snapshot was taken, and snapshots have no \
         tablespaces"
    )]
    Tablespace,
}

impl Disturbance {
    /// What the account may read of it.
    fn told(self) -> &'static str {
        match self {
            Self::TemplateChanged { .. } => {
                "a database was made by file copy (STRATEGY file_copy) and its template was changed \
                 before the snapshot was through, so that the copy could come back with rows it \
                 never had: use STRATEGY wal_log, or leave the template alone meanwhile"
            }
            Self::Tablespace => {
                "a tablespace was made or removed meanwhile, and snapshots have none"
            }
        }
    }
}

impl From<Disturbance> for EngineError {
    fn from(disturbance: Disturbance) -> Self {
        Self::Disturbed {
            why: disturbance.to_string(),
            told: Told::new(disturbance.told()),
        }
    }
}

impl Review {
    /// Reads the log in `pg_wal` from a record's place to its end, which must not come before
    /// `stop`; `go_on` is asked now and then.
    ///
    /// # Errors
    /// When the log is damaged or ends before `stop`; what `go_on` says.
    pub(super) fn of<E: From<LogFault>>(
        pg_wal: &Folder,
        segments: Segments,
        (start, stop): (u64, u64),
        mut go_on: impl FnMut() -> Result<(), E>,
    ) -> Result<Self, E> {
        let last = segments.number(stop.saturating_sub(1));
        let mut reader = Reader::new(Files::new(pg_wal, segments, last), segments, start);
        let mut review = Self::default();
        for turn in 0_u64.. {
            if turn.is_multiple_of(4096) {
                go_on()?;
            }
            // Recovery applies what comes behind the stop in the same segment, too.
            let at = reader.at();
            let record = match reader.next() {
                Ok(record) => record,
                Err(LogFault::Ends(_) | LogFault::Damaged { .. }) if stop <= at => break,
                Err(fault) => return Err(fault.into()),
            };
            let lsn = record.lsn;
            let noted = review.note(&record);
            noted.map_err(|why| LogFault::Damaged { at: lsn, why })?;
        }
        Ok(review)
    }

    fn note(&mut self, record: &Record<'_>) -> Result<(), &'static str> {
        if !self.copies.is_empty() && !record.is_hint() {
            for block in &record.blocks {
                self.touch(block.relation.database);
            }
        }
        match record.event()? {
            Event::None | Event::Begun { .. } => {}
            Event::Made { relation, fork } => {
                self.touch(relation.database);
                if fork == INIT_FORK {
                    self.unlogged.insert((relation.database, relation.number));
                    self.count()?;
                }
            }
            Event::Cut { relation, .. } => self.touch(relation.database),
            Event::Removed(removed) => {
                for relation in removed.relations() {
                    self.touch(relation.database);
                }
                if !removed.is_all {
                    self.touch_all();
                }
            }
            Event::Mapped { database } => self.touch(database),
            Event::Copied {
                database,
                tablespace,
                from,
                from_tablespace,
            } => {
                self.tablespaces |=
                    (tablespace, from_tablespace) != (DEFAULT_TABLESPACE, DEFAULT_TABLESPACE);
                self.touch(database);
                self.copies.entry(from).or_default().insert(database);
                self.count()?;
            }
            Event::Dropped { database } => self.dropped(database),
            Event::Tablespace => self.tablespaces = true,
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), &'static str> {
        self.notes += 1;
        match self.notes <= NOTES_MAX {
            true => Ok(()),
            false => Err("it makes more relations than can be kept in mind"),
        }
    }

    /// Takes note that a database's files change.
    fn touch(&mut self, database: u32) {
        if let Some(made) = self.copies.remove(&database) {
            let pairs = made.into_iter().map(|made| (made, database));
            self.spoilt.extend(pairs);
        }
    }

    fn touch_all(&mut self) {
        let all: Vec<u32> = self.copies.keys().copied().collect();
        for database in all {
            self.touch(database);
        }
    }

    /// A database that is gone in the end is no matter, but it may have been a template.
    fn dropped(&mut self, database: u32) {
        self.touch(database);
        self.spoilt.remove(&database);
        for made in self.copies.values_mut() {
            made.remove(&database);
        }
    }

    /// Adds relations that are known otherwise to be unlogged.
    pub(super) fn add_unlogged(&mut self, places: impl IntoIterator<Item = Place>) {
        self.unlogged.extend(places);
    }

    /// Whether the dump must not have a relation's forks but its template.
    pub(super) fn is_unlogged(&self, place: Place) -> bool {
        self.unlogged.contains(&place)
    }

    /// The databases that have such relations.
    pub(super) fn databases(&self) -> HashSet<u32> {
        self.unlogged
            .iter()
            .map(|(database, _)| *database)
            .collect()
    }

    /// Why the files are not the state of one moment, if they are not.
    pub(super) fn disturbance(&self) -> Option<Disturbance> {
        if self.tablespaces {
            return Some(Disturbance::Tablespace);
        }
        let (made, template) = self.spoilt.first_key_value()?;
        Some(Disturbance::TemplateChanged {
            made: *made,
            template: *template,
        })
    }
}

/// The segments of a cluster's log; none when pg_control gives them an impossible size.
pub(super) fn segments(control: &Control, timeline: u32) -> Option<Segments> {
    let bytes = control.wal_segment_bytes;
    let is_possible = bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes);
    is_possible.then(|| Segments::of(control, timeline))
}
