//! All that the manifest of a snapshot being written will reach: packs and block lists, those
//! of the base and new ones. Shared by the threads that write.
//!
//! It does not know files, nor what is in packs and lists.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use model::Hash;

use crate::format::{
    body::{File, PackUse},
    seal::ObjectKey,
    tables::Reached,
};

/// A row of a manifest's tables, with its key. Without a hash it is still being made.
#[derive(Debug, Clone, Default)]
struct Row {
    reached: Option<Reached>,
    key: Option<ObjectKey>,
    uses: PackUse,
}

#[derive(Debug, Default)]
struct Rows {
    packs: Vec<Row>,
    lists: Vec<Row>,
    /// The numbers of rows that came from the base.
    adopted: HashMap<Hash, u32>,
}

/// The tables as they fill.
#[derive(Debug, Default)]
pub(crate) struct ManifestTables(Mutex<Rows>);

/// The tables of a manifest and what its body says of them, in the same order.
#[derive(Debug)]
pub(crate) struct Inventory {
    pub(crate) lists: Vec<Reached>,
    pub(crate) packs: Vec<Reached>,
    pub(crate) list_keys: Vec<ObjectKey>,
    pub(crate) pack_keys: Vec<ObjectKey>,
    pub(crate) pack_uses: Vec<PackUse>,
}

impl Inventory {
    /// Drops what none of these files refers to, and gives lists their new numbers in them.
    pub(crate) fn keep_reached(&mut self, files: &mut [File]) {
        let mut numbers: Vec<Option<u32>> = vec![None; self.lists.len()];
        for layer in files.iter_mut().flat_map(File::layers_mut) {
            numbers[layer.list as usize] = Some(0);
        }
        for (kept, number) in (0..).zip(numbers.iter_mut().flatten()) {
            *number = kept;
        }
        for layer in files.iter_mut().flat_map(File::layers_mut) {
            layer.list = numbers[layer.list as usize].expect("a file refers to it");
        }
        let lists: Vec<bool> = numbers.iter().map(Option::is_some).collect();
        retain(&mut self.lists, &lists);
        retain(&mut self.list_keys, &lists);
        let packs: Vec<bool> = self.pack_uses.iter().map(|uses| 0 < uses.live).collect();
        retain(&mut self.packs, &packs);
        retain(&mut self.pack_keys, &packs);
        retain(&mut self.pack_uses, &packs);
    }
}

/// Keeps the rows that are marked; a table without rows stays so.
fn retain<T>(rows: &mut Vec<T>, keep: &[bool]) {
    let mut marks = keep.iter();
    rows.retain(|_| marks.next().copied().unwrap_or(true));
}

fn add(rows: &mut Vec<Row>, row: Row) -> u32 {
    rows.push(row);
    u32::try_from(rows.len() - 1).expect("the size of manifests bounds their tables")
}

impl ManifestTables {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes a pack of the base in, once.
    pub(crate) fn adopt_pack(&self, reached: Reached, key: Option<&ObjectKey>, blocks: u32) -> u32 {
        let mut rows = self.rows();
        let Rows { packs, adopted, .. } = &mut *rows;
        *adopted.entry(reached.hash).or_insert_with(|| {
            let uses = PackUse { blocks, live: 0 };
            let (reached, key) = (Some(reached), key.cloned());
            add(packs, Row { reached, key, uses })
        })
    }

    /// Takes a list of the base in, once.
    pub(crate) fn adopt_list(&self, reached: Reached, key: Option<&ObjectKey>) -> u32 {
        let mut rows = self.rows();
        let Rows { lists, adopted, .. } = &mut *rows;
        *adopted.entry(reached.hash).or_insert_with(|| {
            let row = Row {
                reached: Some(reached),
                key: key.cloned(),
                uses: PackUse::default(),
            };
            add(lists, row)
        })
    }

    /// Gives a number to a pack that begins.
    pub(crate) fn begin_pack(&self) -> u32 {
        add(&mut self.rows().packs, Row::default())
    }

    /// Gives a number to a list that begins.
    pub(crate) fn begin_list(&self) -> u32 {
        add(&mut self.rows().lists, Row::default())
    }

    /// Says what a pack that had begun has become.
    pub(crate) fn end_pack(
        &self,
        number: u32,
        reached: Reached,
        key: Option<ObjectKey>,
        blocks: u32,
    ) {
        let row = &mut self.rows().packs[number as usize];
        (row.reached, row.key) = (Some(reached), key);
        row.uses.blocks = blocks;
    }

    /// Says what a list that had begun has become.
    pub(crate) fn end_list(&self, number: u32, reached: Reached, key: Option<ObjectKey>) {
        let row = &mut self.rows().lists[number as usize];
        (row.reached, row.key) = (Some(reached), key);
    }

    /// Counts references to blocks in packs: pairs of the pack's number and how many.
    pub(crate) fn count(&self, references: &[(u32, u32)]) {
        let mut rows = self.rows();
        for (pack, count) in references {
            let uses = &mut rows.packs[*pack as usize].uses;
            uses.live = uses.live.saturating_add(*count);
        }
    }

    /// Takes back what [`Self::count`] was told.
    pub(crate) fn uncount(&self, references: &[(u32, u32)]) {
        let mut rows = self.rows();
        for (pack, count) in references {
            let uses = &mut rows.packs[*pack as usize].uses;
            uses.live = uses.live.saturating_sub(*count);
        }
    }

    /// The hash of a pack that is finished.
    pub(crate) fn pack_hash(&self, number: u32) -> Hash {
        let reached = self.rows().packs[number as usize].reached;
        reached.expect("the pack is finished").hash
    }

    /// The tables, once every pack and list is finished.
    pub(crate) fn inventory(&self) -> Inventory {
        let mut rows = self.rows();
        let table = |rows: &[Row]| -> Vec<Reached> {
            rows.iter()
                .map(|row| row.reached.expect("every pack and list is finished"))
                .collect()
        };
        let (lists, packs) = (table(&rows.lists), table(&rows.packs));
        let pack_uses = rows.packs.iter().map(|row| row.uses).collect();
        let keys = |rows: &mut Vec<Row>| -> Vec<ObjectKey> {
            rows.drain(..).filter_map(|row| row.key).collect()
        };
        Inventory {
            lists,
            packs,
            list_keys: keys(&mut rows.lists),
            pack_keys: keys(&mut rows.packs),
            pack_uses,
        }
    }
}
