//! The plan of a restore: for every pack, which of its blocks go where.
//!
//! It does not know how packs are fetched or files are written. It is all of a restore that
//! grows with the snapshot: 32 bytes for a run of up to 32 blocks that lie together in a frame
//! and in a file, so 1 byte a block for a first snapshot, and 32 at worst.
use crate::{
    block::RunCheck,
    body::File,
    error::{ObjectId, ObjectKind, VaultError},
    format::FRAME_BLOCKS,
    list::{List, ListEntry},
    manifest::Manifest,
    pack::Place,
};

/// Blocks that lie together in one frame and in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The pack's number in the manifest.
    pub(crate) pack: u32,
    /// The file's number in the manifest.
    pub(crate) file: u32,
    /// The first block's number in the file.
    pub(crate) block: u32,
    /// Where the first block lies in the pack.
    pub(crate) place: Place,
    /// How many blocks.
    pub(crate) blocks: u16,
    /// Condenses their ids.
    pub(crate) check: [u8; 16],
}

const _: () = assert!(size_of::<Run>() == 32);

#[derive(Debug, Default)]
pub(crate) struct Plan {
    runs: Vec<Run>,
    open: Option<Run>,
    check: RunCheck,
}

/// A segment of a file, to be sorted by its list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) list: u32,
    first: u32,
    file: u32,
    number: u32,
}

impl Stretch {
    /// The file's number in the manifest.
    pub(crate) fn file(&self) -> usize {
        self.file as usize
    }
}

/// All segments of a manifest, those of one list together.
pub(crate) fn stretches(manifest: &Manifest) -> Vec<Stretch> {
    let narrow = |number: usize| u32::try_from(number).expect("the size of manifests bounds it");
    let files = manifest.body.files.iter().enumerate();
    let mut stretches: Vec<Stretch> = files
        .flat_map(|(file, of)| {
            of.segments
                .iter()
                .enumerate()
                .map(move |(number, segment)| Stretch {
                    list: segment.list,
                    first: segment.first,
                    file: narrow(file),
                    number: narrow(number),
                })
        })
        .collect();
    stretches.sort_by_key(|stretch| stretch.list);
    stretches
}

impl Plan {
    /// Adds the blocks of one segment. `packs` gives, for each pack of the list's table, its
    /// number in the manifest, and `list_id` names the list in errors.
    pub(crate) fn add(
        &mut self,
        stretch: Stretch,
        size: u64,
        list: &List,
        packs: &[Option<u32>],
        list_id: ObjectId,
    ) -> Result<(), VaultError> {
        let wrong = |why| VaultError::damaged(list_id, why);
        let blocks = File::segment_blocks(size, stretch.number as usize);
        let first = stretch.first as usize;
        if list.entries() < first + blocks {
            return Err(wrong("it has fewer entries than a file needs"));
        }
        let start = u64::from(stretch.number) * crate::format::SEGMENT_BLOCKS as u64;
        for at in 0..blocks {
            let ListEntry::Stored { id, pack, place } = list.entry(first + at) else {
                self.close();
                continue;
            };
            let pack = packs[pack]
                .ok_or_else(|| wrong("an entry lies in a pack that the manifest does not reach"))?;
            let block = u32::try_from(start + at as u64).expect("the size of files is bounded");
            self.push(pack, stretch.file, block, place);
            self.check.add(id);
        }
        self.close();
        Ok(())
    }

    fn push(&mut self, pack: u32, file: u32, block: u32, place: Place) {
        if let Some(run) = &mut self.open {
            let next = u32::from(run.place.0) + u32::from(run.blocks);
            let same_frame = place.frame() == run.place.frame();
            if run.pack == pack && same_frame && u32::from(place.0) == next {
                run.blocks += 1;
                return;
            }
        }
        self.close();
        self.open = Some(Run {
            pack,
            file,
            block,
            place,
            blocks: 1,
            check: [0; 16],
        });
    }

    fn close(&mut self) {
        if let Some(mut run) = self.open.take() {
            debug_assert!(usize::from(run.blocks) <= FRAME_BLOCKS);
            run.check = self.check.finish();
            self.runs.push(run);
        }
    }

    /// The runs in the order of packs and, inside each, of places.
    pub(crate) fn finish(mut self) -> Vec<Run> {
        self.close();
        self.runs.sort_unstable_by_key(|run| (run.pack, run.place));
        self.runs
    }
}

pub(crate) fn object(kind: ObjectKind, hash: model::Hash) -> ObjectId {
    ObjectId { kind, hash }
}
