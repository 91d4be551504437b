//! What changed between two snapshots of one lineage, by database, relation and fork.
//!
//! It does not know what a relation is: the engine tells whose a file is by its path.
use std::{
    collections::BTreeMap,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use catalog::{CatalogExt, tombstones};
use engine::FilePart;
use model::{Account, Content, Region};
use tokio::runtime::Handle;
use vault::{DataKey, FileDiff, VaultError};

use super::costs::gone;
use crate::{context::ServiceContext, fault::Fault};

/// A snapshot that is whole, and what opens it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its bytes.
    pub content: Content,
    /// None of an unencrypted one.
    pub data_key: Option<DataKey>,
}

/// Blocks of 8 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Blocks {
    /// There were.
    pub before: u64,
    /// There are.
    pub after: u64,
    /// There in both, with other content.
    pub changed: u64,
    /// Behind the end of the earlier file, or in a new one.
    pub added: u64,
    /// Behind the end of the later file, or in one that is gone.
    pub removed: u64,
}

impl Blocks {
    /// All that are not as they were.
    pub fn touched(&self) -> u64 {
        self.changed + self.added + self.removed
    }

    fn of(file: &FileDiff<'_>) -> Self {
        Self {
            before: file.before,
            after: file.after,
            changed: file.changed,
            added: file.after.saturating_sub(file.before),
            removed: file.before.saturating_sub(file.after),
        }
    }
}

impl AddAssign for Blocks {
    fn add_assign(&mut self, more: Self) {
        self.before += more.before;
        self.after += more.after;
        self.changed += more.changed;
        self.added += more.added;
        self.removed += more.removed;
    }
}

/// What changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// In all files.
    pub total: Blocks,
    /// In the files of each database; unchanged ones too.
    pub databases: BTreeMap<String, Blocks>,
    /// What databases are called whose files have another name for them, as far as the later snapshot tells.
    pub database_names: BTreeMap<String, String>,
    /// In each fork of each relation that is not as it was, what changed most first.
    pub relations: Vec<(FilePart, Blocks)>,
    /// In files that are no relation's.
    pub other: Blocks,
}

/// Compares two snapshots of an engine in one region; none when they are of two lineages.
///
/// # Errors
/// `ServiceUnavailable` when one of them went meanwhile; the vault's.
pub async fn compare(
    context: &Arc<ServiceContext>,
    caller: &Account,
    region: &Region,
    engine: &str,
    before: Opened,
    after: Opened,
) -> Result<Option<Changes>, Fault> {
    let profile = engine::profile(engine);
    let part_of = profile.map(|profile| profile.part_of);
    let names_in = move |document: &str| {
        profile.map_or_else(BTreeMap::new, |profile| (profile.databases_in)(document))
    };
    let (held, region) = (Arc::clone(context), region.clone());
    // Who asked may be gone before the lists are read.
    let wanted = Wanted::default();
    let heard = Arc::clone(&wanted.gone);
    let work = move || {
        let (handle, mut tally) = (Handle::current(), Tally::default());
        let absent = |of: &Opened| {
            let (region, below) = (region.clone(), format!("volumes/{}/", of.content.volume));
            let read = held
                .catalog
                .read(move |tx| tombstones::list(tx, &region, &below));
            handle.block_on(read)
        };
        let absents = (absent(&before)?, absent(&after)?);
        let vault = held.vaults.get(&region)?;
        let side = |of, condemned| side(&vault, of, condemned);
        let compared = vault::diff(
            side(&before, &absents.0),
            side(&after, &absents.1),
            &|| held.is_stopping() || heard.load(Ordering::Relaxed),
            &mut |file| tally.add(&file, part_of.and_then(|part_of| part_of(file.path))),
        );
        match compared {
            Ok(document) => Ok(document.map(|document| tally.changes(names_in(&document)))),
            Err(VaultError::Stopped) => Err(crate::fault::EarlyRefusal::Busy.into()),
            Err(error) => Err(gone(error)),
        }
    };
    context.looks.run(caller, work).await
}

fn side<'a>(
    vault: &'a vault::Vault,
    of: &'a Opened,
    condemned: &'a vault::Condemned,
) -> vault::Side<'a> {
    vault::Side {
        vault,
        volume: &of.content.volume,
        manifest: of.content.manifest,
        data_key: of.data_key.as_ref(),
        condemned,
    }
}

/// Says so when it is dropped.
#[derive(Default)]
struct Wanted {
    gone: Arc<AtomicBool>,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

/// Files, summed up by what they belong to.
#[derive(Default)]
struct Tally {
    parts: BTreeMap<FilePart, Blocks>,
    other: Blocks,
}

impl Tally {
    fn add(&mut self, file: &FileDiff<'_>, part: Option<FilePart>) {
        let sum = match part {
            Some(part) => self.parts.entry(part).or_default(),
            None => &mut self.other,
        };
        *sum += Blocks::of(file);
    }

    fn changes(self, database_names: BTreeMap<String, String>) -> Changes {
        let mut changes = Changes {
            total: self.other,
            other: self.other,
            database_names,
            ..Changes::default()
        };
        for (part, blocks) in self.parts {
            changes.total += blocks;
            *changes.databases.entry(part.database.clone()).or_default() += blocks;
            if blocks.touched() != 0 {
                changes.relations.push((part, blocks));
            }
        }
        // They were in the order of their names, which those that changed alike keep.
        let touched = |row: &(FilePart, Blocks)| std::cmp::Reverse(row.1.touched());
        changes.relations.sort_by_key(touched);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_summed_up_by_relation_and_database() {
        let mut tally = Tally::default();
        let part = |database: &str, relation: &str| {
            Some(FilePart {
                database: database.to_owned(),
                relation: relation.to_owned(),
                fork: "main",
            })
        };
        let mut add = |part, before, after, changed| {
            let file = FileDiff {
                path: "x",
                before,
                after,
                changed,
            };
            tally.add(&file, part);
        };
        add(part("1", "small"), 10, 12, 1);
        add(part("1", "large"), 100, 100, 50);
        add(part("1", "large"), 20, 0, 0);
        add(part("2", "same"), 7, 7, 0);
        add(None, 1, 1, 1);
        let changes = tally.changes(BTreeMap::new());
        let names: Vec<_> = changes
            .relations
            .iter()
            .map(|row| &*row.0.relation)
            .collect();
        assert_eq!(names, ["large", "small"]);
        let large = changes.relations[0].1;
        assert_eq!((large.before, large.after, large.touched()), (120, 100, 70));
        assert_eq!(changes.databases["1"].added, 2);
        assert_eq!(changes.databases["2"].before, 7);
        assert_eq!((changes.total.before, changes.total.touched()), (138, 74));
        assert_eq!(changes.other.changed, 1);
    }
}
