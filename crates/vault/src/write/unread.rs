//! What of a file need not be read, since the base has it: all of a segment, or some of its blocks.
//!
//! It does not know how an engine knows that.
use model::pages::SinceBase;

use super::segment_worker::SegmentWorker;
use crate::{
    format::block::BlockId,
    format::{
        head::{BLOCK_BYTES, FRAME_BYTES, SEGMENT_BYTES},
        list::Entry,
    },
    index::block_map::Slot,
    write::{
        base::BaseSnapshot,
        draft::{FileDraft, References, Task},
    },
};

const BLOCK: u64 = BLOCK_BYTES as u64;

impl SegmentWorker {
    /// Takes a segment of a file that did not change from the base without reading it; none when
    /// one of its blocks cannot stay where it is. Gives its bytes and where its blocks lie.
    pub(super) fn leave(
        &mut self,
        base: &BaseSnapshot,
        file: &FileDraft,
        segment: usize,
    ) -> Option<(u64, References)> {
        let stays = |slot: &Slot| match slot {
            Slot::Unknown => false,
            Slot::Zero => true,
            Slot::Stored { pack, .. } => pack.is_some_and(|pack| base.is_usable(pack)),
        };
        if !self.slots.iter().all(stays) {
            return None;
        }
        let tables = &self.shared.tables;
        self.entries.clear();
        self.entries
            .extend(self.slots.iter().map(|slot| match *slot {
                Slot::Stored {
                    id,
                    pack: Some(pack),
                    place,
                } => Entry::Stored {
                    id,
                    pack: base.adopt_pack(pack, tables),
                    place,
                },
                _ => Entry::Zero,
            }));
        let bytes = (file.size - segment as u64 * SEGMENT_BYTES).min(SEGMENT_BYTES);
        Some((bytes, self.count()))
    }

    /// What a file knows of the page that is this block of the segment, and the block in the base. None
    /// where the base has not all of it, or zeros, which a server may lay out with no word of it.
    fn known(&self, task: &Task, offset: u64, at: usize) -> Option<(SinceBase, BlockId)> {
        let Some(Slot::Stored { id, .. }) = self.slots.get(at) else {
            return None;
        };
        let pages = task.content.pages()?;
        let is_whole = offset + BLOCK <= self.base_bytes.min(task.file.size);
        (is_whole && pages.page_bytes() == BLOCK_BYTES).then(|| (pages.since_base(offset), *id))
    }

    /// Whether a block need not be read.
    fn is_same(&self, task: &Task, offset: u64, at: usize) -> bool {
        matches!(self.known(task, offset, at), Some((SinceBase::Same, id)) if self.is_in_base(at, Some(id)))
    }

    /// Lists the next blocks as the base does as long as they need not be read, and gives their bytes.
    pub(super) fn leave_same(&mut self, task: &Task, offset: u64, left: u64) -> u64 {
        let mut done = 0;
        while done + BLOCK <= left {
            let at = self.entries.len();
            let Some((SinceBase::Same, id)) = self.known(task, offset + done, at) else {
                break;
            };
            let Some(entry) = self.as_in_base(at, Some(id)) else {
                break;
            };
            self.same += 1;
            self.entries.push(entry);
            self.changed.push(false);
            done += BLOCK;
        }
        done
    }

    /// Bytes to be read next: up to a block that need not be, and no more than a buffer.
    pub(super) fn to_next_same(&self, task: &Task, offset: u64, left: u64) -> usize {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(FRAME_BYTES);
        let at = self.entries.len();
        let ahead = (1..most.div_ceil(BLOCK_BYTES))
            .find(|block| self.is_same(task, offset + (block * BLOCK_BYTES) as u64, at + block));
        ahead.map_or(most, |block| block * BLOCK_BYTES)
    }

    /// Tells the file of the next block when it is another than it was said to be.
    pub(super) fn compare(&self, task: &Task, id: Option<BlockId>) {
        let at = self.entries.len();
        let offset = task.segment as u64 * SEGMENT_BYTES + (at * BLOCK_BYTES) as u64;
        if let Some((SinceBase::SaidSame, old)) = self.known(task, offset, at)
            && id != Some(old)
            && let Some(pages) = task.content.pages()
        {
            pages.contradict(offset);
        }
    }
}
