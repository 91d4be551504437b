//! What is known of the clusters whose log passes through: of each its map, and which of its dumps the
//! map may reach back to.
//!
//! It does not know how a dump is read.
//!
//! It is in memory alone, and all of it may be lost at any time: the next dump compares, and is one to
//! reach back to again. What is kept of the log in a vault would say the same, at the price of reading
//! it; a file beside the cluster could say another thing than the cluster's.
use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
};

use model::LogPlace;
use uuid::Uuid;

use super::{
    super::wal::{Files, LogFault, Reader, Segments},
    gather::Gatherer,
    map::ChangeMap,
};
use crate::{
    ChangeMaps, EngineError, Home, folder::Folder, hosting::whole::incarnation,
    postgres::review::Place,
};

/// Dumps of a cluster that are kept in mind.
const DUMPS_MAX: usize = 64;
/// Log that a dump reads itself, beyond what has passed through, bytes at most.
const READ_ON_BYTES_MAX: u64 = 1 << 30;
/// Pages that are other than the log says, kept in mind.
const CONTRADICTIONS_MAX: usize = 10_000;

/// The clusters whose log passes through.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Known {
    how: OnceLock<ChangeMaps>,
    /// By their folders.
    clusters: Mutex<HashMap<PathBuf, Arc<Mutex<Followed>>>>,
}

/// One of them.
#[derive(Debug)]
struct Followed {
    /// The data folder that the log is of.
    incarnation: Uuid,
    gatherer: Gatherer,
    /// Where the log of its dumps begins, by the dumps' names; the newest last.
    dumps: VecDeque<(Uuid, LogPlace)>,
}

/// Takes the log of one cluster as it arrives.
#[derive(Debug, Clone, Default)]
pub(in crate::postgres) struct Feed(Option<Arc<Mutex<Followed>>>);

impl Feed {
    pub(in crate::postgres) fn take(&self, start: LogPlace, bytes: &[u8]) {
        if let Some(followed) = &self.0 {
            lock(followed).gatherer.take(start, bytes);
        }
    }
}

impl Known {
    /// Says whether it is to be known at all. The first one stays.
    pub(in crate::postgres) fn set(&self, how: ChangeMaps) {
        let _ = self.how.set(how);
    }

    /// Takes a cluster's log from this place on.
    pub(in crate::postgres) fn follow(&self, home: &Home, start: LogPlace) -> Feed {
        let (Some(ChangeMaps::On | ChangeMaps::Check), Some(incarnation)) =
            (self.how.get(), incarnation(home))
        else {
            return Feed::default();
        };
        let mut clusters = lock(&self.clusters);
        let known = clusters.get(&home.dir);
        let known = known.filter(|known| lock(known).incarnation == incarnation);
        let followed = known.cloned().unwrap_or_else(|| {
            Arc::new(Mutex::new(Followed {
                incarnation,
                gatherer: Gatherer::new(start),
                dumps: VecDeque::new(),
            }))
        });
        clusters.insert(home.dir.clone(), Arc::clone(&followed));
        Feed(Some(followed))
    }

    /// Forgets a cluster.
    pub(in crate::postgres) fn forget(&self, home: &Path) {
        lock(&self.clusters).remove(home);
    }

    /// What changed between an earlier dump and one whose log begins here, which is kept in mind by its
    /// name. None where that is not known for certain.
    pub(in crate::postgres) fn changes(
        &self,
        home: &Home,
        (dump, start): (Uuid, LogPlace),
        base: Option<Uuid>,
        data: &Folder,
    ) -> Option<Changes> {
        let how = *self.how.get()?;
        let followed = lock(&self.clusters).get(&home.dir).cloned()?;
        let (mut map, from, segments) = {
            let mut followed = lock(&followed);
            if incarnation(home) != Some(followed.incarnation) {
                return None;
            }
            if followed.dumps.len() == DUMPS_MAX {
                followed.dumps.pop_front();
            }
            followed.dumps.push_back((dump, start));
            let mut dumps = followed.dumps.iter();
            let (_, base) = *dumps.find(|(name, _)| Some(*name) == base)?;
            if base.timeline != start.timeline {
                return None;
            }
            followed.gatherer.since(base)?
        };
        let until = start.position;
        if READ_ON_BYTES_MAX < until.saturating_sub(from) {
            return None;
        }
        if let Err(why) = read_on(&mut map, data, segments, (from, until)) {
            tracing::info!(home = %home.dir.display(), why, "it is not known what changed since the last snapshot");
            return None;
        }
        Some(Changes {
            map,
            until,
            segments,
            is_checked: how == ChangeMaps::Check,
            contradictions: Mutex::default(),
        })
    }
}

/// What changed between two dumps.
#[derive(Debug)]
pub(in crate::postgres) struct Changes {
    map: ChangeMap,
    /// Where the log of the later one begins.
    until: u64,
    segments: Segments,
    /// Whether it is only to be checked.
    pub(in crate::postgres) is_checked: bool,
    contradictions: Mutex<Vec<Contradiction>>,
}

/// A page that changed though no record says so.
#[derive(Debug, Clone)]
struct Contradiction {
    file: String,
    place: Place,
    block: u32,
}

impl Changes {
    /// Whether a block of a relation's main fork is what it was in the earlier dump, wherever that has
    /// it and it is not all zero. A relation's first block never is: indexes keep notes there that are
    /// in no record.
    pub(in crate::postgres) fn is_same(&self, place: Place, block: u32) -> bool {
        block != 0 && !self.map.is_changed(place, block)
    }

    /// Keeps in mind that a block is not what it should be.
    pub(in crate::postgres) fn contradict(&self, file: &str, place: Place, block: u32) {
        let mut all = lock(&self.contradictions);
        if all.len() < CONTRADICTIONS_MAX {
            all.push(Contradiction {
                file: file.to_owned(),
                place,
                block,
            });
        }
    }

    /// Judges what was kept in mind by the log from the dump's beginning to its end: what that changes
    /// may be read before or after.
    ///
    /// # Errors
    /// When a block changed and no record says so.
    pub(in crate::postgres) fn judge(&self, data: &Folder, stop: u64) -> Result<(), EngineError> {
        let all = lock(&self.contradictions);
        if all.is_empty() {
            return Ok(());
        }
        let mut meanwhile = ChangeMap::new(self.until);
        let read = read_on(&mut meanwhile, data, self.segments, (self.until, stop));
        if let Err(why) = read {
            tracing::warn!(why, "it cannot be checked what the log says of changes");
            return Ok(());
        }
        let mut wrong = all
            .iter()
            .filter(|one| !meanwhile.is_changed(one.place, one.block));
        match wrong.next() {
            None => Ok(()),
            Some(one) => Err(EngineError::FileDamaged {
                file: one.file.clone(),
                why: format!(
                    "block {} of the relation changed since the last snapshot, and the log does not say so",
                    one.block
                ),
            }),
        }
    }
}

/// Adds to a map what the files of the log say from a record's place up to another's.
fn read_on(
    map: &mut ChangeMap,
    data: &Folder,
    segments: Segments,
    (from, to): (u64, u64),
) -> Result<(), String> {
    let pg_wal = data.enter("pg_wal").map_err(|error| error.to_string())?;
    let files = Files::new(&pg_wal, segments, segments.number(to) + 1);
    let mut reader = Reader::new(files, segments, from);
    while reader.at() < to {
        let record = reader.next().map_err(|fault: LogFault| fault.to_string())?;
        map.note(&record)?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
