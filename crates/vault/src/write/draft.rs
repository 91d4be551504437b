//! A file of a snapshot while it is read in segments, and what was found of each.
//!
//! It does not know who reads them.
use std::sync::{Arc, Mutex};

use model::pages::{ChangeToken, Content};

use crate::format::{
    body::{File, Segment},
    head::{SEGMENT_BLOCKS, SEGMENT_BYTES},
};

/// A stretch of a file for one thread.
pub(crate) struct Task {
    pub(crate) file: Arc<FileDraft>,
    pub(crate) segment: usize,
    pub(crate) content: Arc<dyn Content>,
}

/// How many blocks lie in which pack, by its number in the tables.
pub(crate) type References = Vec<(u32, u32)>;
/// Packs of one segment that are kept in mind for a file that may be taken back. Where there are
/// more, the packs stay in the snapshot.
pub(crate) const REFERENCES_MAX: usize = 64;

/// What a thread found of a segment.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) bytes: u64,
    pub(crate) segment: Segment,
    /// Blocks of the segment that the next snapshot must check again.
    pub(crate) torn: Vec<u32>,
    pub(crate) references: References,
}

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct FileDraft {
    pub(crate) path: String,
    pub(crate) mode: u32,
    /// As it was when it was opened.
    pub(crate) size: u64,
    pub(crate) change_token: Option<ChangeToken>,
    pub(crate) found: Mutex<Vec<Option<Found>>>,
}

impl FileDraft {
    pub(crate) fn set(&self, segment: usize, found: Found) {
        let mut all = self.found.lock().unwrap_or_else(|e| e.into_inner());
        all[segment] = Some(found);
    }

    /// Where the file's blocks lie.
    pub(crate) fn references(&self) -> References {
        let all = self.found.lock().unwrap_or_else(|e| e.into_inner());
        let found = all.iter().flatten();
        found.flat_map(|one| one.references.clone()).collect()
    }

    /// The file as it was found, and its torn blocks: it ends where the first of its segments
    /// ended early.
    pub(crate) fn finish(&self) -> (File, Vec<u32>) {
        let mut all = self.found.lock().unwrap_or_else(|e| e.into_inner());
        let (mut size, mut segments) = (0, Vec::with_capacity(all.len()));
        let mut torn = Vec::new();
        for (found, start) in all.drain(..).zip((0..).step_by(SEGMENT_BLOCKS)) {
            let found = found.expect("every segment was read");
            if 0 < found.bytes {
                size += found.bytes;
                segments.push(found.segment);
                torn.extend(found.torn.iter().map(|block| start + block));
            }
            if found.bytes < SEGMENT_BYTES {
                break;
            }
        }
        let file = File {
            path: self.path.clone(),
            mode: self.mode,
            size,
            // What ended early was changed while it was read.
            change_token: self.change_token.filter(|_| size == self.size),
            segments,
        };
        (file, torn)
    }
}
