//! One thread's work on a snapshot being written: reads a segment of a file, compares its
//! blocks with the base's, stores what is new, and lists what it found.
//!
//! It does not know which segments other threads have. Everything from reading to sealing
//! happens here, a buffer at a time, so that bytes stay in the processor's cache.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use model::pages::{PageCheck, Pages, check_pages};

use crate::{
    error::VaultError,
    format::{
        block::{BlockId, IdKey, is_zero},
        body::{Layer, Segment},
        head::{
            BLOCK_BYTES, FRAME_BLOCKS, FRAME_BYTES, PATCHES_MAX, SEGMENT_BLOCKS, SEGMENT_BYTES,
        },
        list::Entry,
    },
    index::block_map::Slot,
    observer::Observer,
    write::{
        base::BaseSnapshot,
        draft::{Found, REFERENCES_MAX, References, Task},
        manifest_tables::ManifestTables,
        pack_writer::PackWriter,
        queue::Queue,
    },
};

/// What all threads of a writer share.
pub(crate) struct Shared {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) base: Option<BaseSnapshot>,
    pub(crate) id_key: IdKey,
    pub(crate) tables: Arc<ManifestTables>,
    pub(crate) queue: Queue<Task>,
    /// Blocks that are, at their places, what the base has there.
    pub(crate) same_blocks: AtomicU64,
}

pub(crate) struct SegmentWorker {
    pub(super) shared: Arc<Shared>,
    packs: PackWriter,
    buffer: Vec<u8>,
    /// The segment as the base has it.
    pub(super) slots: Vec<Slot>,
    /// The end of the file in the base.
    pub(super) base_bytes: u64,
    pub(super) entries: Vec<Entry>,
    /// For each block of the segment, whether it is listed otherwise than in the base.
    pub(super) changed: Vec<bool>,
    /// Blocks of the segment that the next snapshot must check again.
    torn: Vec<u32>,
    /// Blocks of the segment that are what the base has there, also where they do not stay there.
    pub(super) same: u64,
}

impl SegmentWorker {
    pub(crate) fn new(shared: Arc<Shared>, packs: PackWriter) -> Self {
        Self {
            shared,
            packs,
            buffer: vec![0; FRAME_BYTES],
            slots: Vec::with_capacity(SEGMENT_BLOCKS),
            base_bytes: 0,
            entries: Vec::with_capacity(SEGMENT_BLOCKS),
            changed: Vec::with_capacity(SEGMENT_BLOCKS),
            torn: Vec::new(),
            same: 0,
        }
    }

    /// Works until no more tasks come, then finishes what is open.
    pub(crate) fn work(mut self) {
        let shared = Arc::clone(&self.shared);
        let _told = TellPanic(&shared);
        while let Some(task) = shared.queue.take() {
            match self.segment(&task) {
                Ok(found) => task.file.set(task.segment, found),
                Err(error) => shared.queue.fail(error),
            }
            // Before the end is told: whoever waits for it may want the file closed.
            drop(task);
            shared.queue.ended();
        }
        if shared.queue.has_failed() {
            return;
        }
        if let Err(error) = self.packs.finish() {
            shared.queue.fail(error);
        }
    }

    fn segment(&mut self, task: &Task) -> Result<Found, VaultError> {
        let shared = Arc::clone(&self.shared);
        self.slots.clear();
        self.base_bytes = 0;
        let mut from = None;
        if let Some(base) = &shared.base
            && let Some(known) = base.file(&task.file.path)
        {
            let file = known.1;
            from = base.segment(known, task.segment, &mut self.slots)?;
            self.base_bytes = file.size;
            let same = file.change_token.is_some()
                && (file.change_token, file.size) == (task.file.change_token, task.file.size);
            if let (true, Some(segment)) = (same, from)
                && let Some((bytes, references)) = self.leave(base, &task.file, task.segment)
            {
                shared.observer.done(bytes);
                let same = self.slots.len() as u64;
                shared.same_blocks.fetch_add(same, Ordering::Relaxed);
                let segment = adopt(base, segment, &shared.tables);
                let torn = Vec::new();
                return Ok(Found {
                    bytes,
                    segment,
                    torn,
                    references,
                });
            }
        }
        self.entries.clear();
        self.changed.clear();
        self.torn.clear();
        self.same = 0;
        let bytes = self.read(task)?;
        shared.same_blocks.fetch_add(self.same, Ordering::Relaxed);
        let segment = self.end(from)?;
        let references = self.count();
        let torn = std::mem::take(&mut self.torn);
        Ok(Found {
            bytes,
            segment,
            torn,
            references,
        })
    }

    /// Reads the segment into entries, and gives its bytes.
    fn read(&mut self, task: &Task) -> Result<u64, VaultError> {
        let start = task.segment as u64 * SEGMENT_BYTES;
        let size = task.file.size.saturating_sub(start).min(SEGMENT_BYTES);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut read = 0;
        while read < size {
            if self.shared.observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            if self.shared.queue.has_failed() {
                return Err(VaultError::Spent);
            }
            let same = self.leave_same(task, start + read, size - read);
            if 0 < same {
                read += same;
                self.shared.observer.done(same);
                continue;
            }
            let length = self.to_next_same(task, start + read, size - read);
            let wanted = &mut buffer[..length];
            let got = task
                .content
                .read_at(wanted, start + read)
                .map_err(|source| source_error(task, start + read, source))?;
            self.place_all(task, &mut buffer[..got])?;
            read += got as u64;
            self.shared.observer.done(got as u64);
            // It ends earlier than it was when it was opened.
            if got < length {
                break;
            }
        }
        self.buffer = buffer;
        Ok(read)
    }

    /// Places the blocks of a buffer, which follow the segment's entries so far.
    fn place_all(&mut self, task: &Task, bytes: &mut [u8]) -> Result<(), VaultError> {
        let mut ids = [None; FRAME_BLOCKS];
        let stored = |block: &&[u8]| !is_zero(block);
        let mut free = ids
            .iter_mut()
            .zip(bytes.chunks(BLOCK_BYTES))
            .filter(|(_, block)| stored(block));
        self.shared
            .id_key
            .ids(bytes.chunks(BLOCK_BYTES).filter(stored), |id| {
                let (place, _) = free.next().expect("an id for each block that is not zero");
                *place = Some(id);
            });
        // A page that spans blocks is checked as one.
        let pages = task.content.pages();
        let unit = pages.map_or(BLOCK_BYTES, |pages| pages.page_bytes().max(BLOCK_BYTES));
        let units = bytes
            .chunks_mut(unit)
            .zip(ids.chunks_mut(unit / BLOCK_BYTES));
        for (bytes, ids) in units {
            let ids = &mut ids[..bytes.len().div_ceil(BLOCK_BYTES)];
            let checked = match pages {
                Some(pages) => self.check(task, pages, bytes, ids)?,
                None => PageCheck::Ok,
            };
            for (block, id) in bytes.chunks(BLOCK_BYTES).zip(ids) {
                self.compare(task, *id);
                self.place(block, *id, checked == PageCheck::Torn)?;
            }
        }
        Ok(())
    }

    /// Checks the pages of the next blocks, unless all of these are zero or as in the base. Ids
    /// follow what was read again.
    fn check(
        &self,
        task: &Task,
        pages: &dyn Pages,
        bytes: &mut [u8],
        ids: &mut [Option<BlockId>],
    ) -> Result<PageCheck, VaultError> {
        let at = self.entries.len();
        let known = |(id, at): (&Option<BlockId>, usize)| self.is_in_base(at, *id);
        if ids.iter().all(Option::is_none) || ids.iter().zip(at..).all(known) {
            return Ok(PageCheck::Ok);
        }
        let offset = task.segment as u64 * SEGMENT_BYTES + (at * BLOCK_BYTES) as u64;
        let checked = check_pages(pages, bytes, offset);
        let checked = checked.map_err(|source| source_error(task, offset, source))?;
        if checked != PageCheck::Ok {
            for (block, id) in bytes.chunks(BLOCK_BYTES).zip(ids) {
                *id = (!is_zero(block)).then(|| self.shared.id_key.id(block));
            }
        }
        Ok(checked)
    }

    /// Whether the base has the same block at the same file and offset, and it can stay there. A
    /// block without an id is all zero.
    pub(super) fn is_in_base(&self, at: usize, id: Option<BlockId>) -> bool {
        match (self.slots.get(at), id) {
            (Some(Slot::Zero), None) => true,
            (Some(Slot::Stored { id: old, pack, .. }), Some(id)) => {
                let base = self.shared.base.as_ref();
                *old == id
                    && pack
                        .zip(base)
                        .is_some_and(|(pack, base)| base.is_usable(pack))
            }
            _ => false,
        }
    }

    /// A block's entry when it is as in the base.
    pub(super) fn as_in_base(&self, at: usize, id: Option<BlockId>) -> Option<Entry> {
        if !self.is_in_base(at, id) {
            return None;
        }
        match (*self.slots.get(at)?, id) {
            (Slot::Stored { pack, place, .. }, Some(id)) => {
                let base = self.shared.base.as_ref()?;
                let pack = base.adopt_pack(pack?, &self.shared.tables);
                Some(Entry::Stored { id, pack, place })
            }
            _ => Some(Entry::Zero),
        }
    }

    /// Lists the next block, and stores it when it is not as in the base.
    fn place(&mut self, block: &[u8], id: Option<BlockId>, torn: bool) -> Result<(), VaultError> {
        let at = self.entries.len();
        if torn && id.is_some() {
            self.torn
                .push(u32::try_from(at).expect("a segment has few blocks"));
        }
        let (entry, changed) = match (self.as_in_base(at, id), id) {
            (Some(entry), _) => (entry, false),
            (None, None) => (Entry::Zero, true),
            (None, Some(id)) => {
                let (pack, place) = self.packs.store(block)?;
                (Entry::Stored { id, pack, place }, true)
            }
        };
        self.same += u64::from(match (self.slots.get(at), id) {
            (Some(Slot::Zero), None) => true,
            (Some(Slot::Stored { id: old, .. }), Some(id)) => *old == id,
            _ => false,
        });
        self.entries.push(entry);
        self.changed.push(changed);
        Ok(())
    }

    /// Lists the segment: as the base does when nothing changed, as a patch upon that when
    /// little did, else anew.
    fn end(&mut self, from: Option<&Segment>) -> Result<Segment, VaultError> {
        let shared = Arc::clone(&self.shared);
        if let (Some(segment), Some(base)) = (from, &shared.base) {
            if !self.changed.contains(&true) {
                return Ok(adopt(base, segment, &shared.tables));
            }
            if let Some(kept) = self.collect(base, segment)? {
                let at: Vec<u16> = (0..)
                    .zip(&self.changed)
                    .filter(|(_, c)| **c)
                    .map(|(at, _)| at)
                    .collect();
                let patch = self.packs.patch(&self.entries, &at)?;
                let whole = base.adopt_layer(&segment.whole, &shared.tables);
                let older = segment.patches[..kept].iter();
                let older = older.map(|patch| base.adopt_layer(patch, &shared.tables));
                let patches: Vec<Layer> = older.chain([patch]).collect();
                return Ok(Segment { whole, patches });
            }
        }
        let whole = self.packs.list(&self.entries)?;
        let patches = Vec::new();
        Ok(Segment { whole, patches })
    }

    /// Adds to the changed blocks those of patches that are not much larger than the new one, so
    /// that sizes at least double from each patch to the one below: few lie upon each other, and
    /// an entry is written anew only a few times. Gives how many patches stay; none when a whole
    /// list is the better way.
    fn collect(
        &mut self,
        base: &BaseSnapshot,
        segment: &Segment,
    ) -> Result<Option<usize>, VaultError> {
        let blocks = self.entries.len();
        let mut changed = self.changed.iter().filter(|changed| **changed).count();
        let mut kept = segment.patches.len();
        while let Some(patch) = kept.checked_sub(1).map(|at| &segment.patches[at]) {
            if 2 * changed <= usize::from(patch.count) && kept < PATCHES_MAX {
                break;
            }
            for position in base.positions(patch)? {
                if let Some(seen) = self.changed.get_mut(position)
                    && !*seen
                {
                    *seen = true;
                    changed += 1;
                }
            }
            kept -= 1;
        }
        Ok((2 * changed < blocks).then_some(kept))
    }

    /// Tells the tables which packs the segment's blocks lie in, and gives that.
    pub(super) fn count(&mut self) -> References {
        let mut references = References::new();
        for entry in &self.entries {
            if let Entry::Stored { pack, .. } = entry {
                match references.last_mut() {
                    Some((last, count)) if last == pack => *count += 1,
                    _ => references.push((*pack, 1)),
                }
            }
        }
        self.shared.tables.count(&references);
        references.sort_unstable();
        references.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
        match references.len() <= REFERENCES_MAX {
            true => references,
            false => References::new(),
        }
    }
}

/// Whoever waits for a thread must hear that it will not come to its end.
struct TellPanic<'a>(&'a Shared);

impl Drop for TellPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.fail(VaultError::Panicked);
        }
    }
}

fn source_error(task: &Task, offset: u64, source: std::io::Error) -> VaultError {
    VaultError::Source {
        path: task.file.path.clone(),
        offset,
        source,
    }
}

fn adopt(base: &BaseSnapshot, segment: &Segment, tables: &ManifestTables) -> Segment {
    let layers = segment.patches.iter();
    Segment {
        whole: base.adopt_layer(&segment.whole, tables),
        patches: layers
            .map(|patch| base.adopt_layer(patch, tables))
            .collect(),
    }
}
