//! The plan of a restore: for every pack, which of its blocks go where.
//!
//! It does not know how packs are fetched or files are written. It is all of a restore that
//! grows with the snapshot: 32 bytes for a run of up to 32 blocks that lie together in a frame
//! and in a file, so 1 byte a block for a first snapshot, and 32 at worst.
use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{block::RunCheck, head::FRAME_BLOCKS, manifest::Manifest, pack::Place},
    index::block_map::Slot,
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

/// A segment of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) file: u32,
    pub(crate) number: u32,
}

/// All segments of a manifest, those of one list together and in its order, so that each list
/// is read once as a rule.
pub(crate) fn stretches(manifest: &Manifest) -> Vec<Stretch> {
    let narrow = |number: usize| u32::try_from(number).expect("the size of manifests bounds it");
    let files = &manifest.body.files;
    let mut stretches: Vec<Stretch> = (0..files.len())
        .flat_map(|file| {
            (0..files[file].segments.len()).map(move |number| Stretch {
                file: narrow(file),
                number: narrow(number),
            })
        })
        .collect();
    stretches.sort_by_key(|at| files[at.file as usize].segments[at.number as usize].whole);
    stretches
}

impl Plan {
    /// Adds the blocks of one segment. `list_id` names its list in errors.
    pub(crate) fn add(
        &mut self,
        stretch: Stretch,
        slots: &[Slot],
        list_id: ObjectId,
    ) -> Result<(), VaultError> {
        let wrong = |why| VaultError::damaged(list_id, why);
        let start = stretch.number * crate::format::head::SEGMENT_BLOCKS as u32;
        for (block, slot) in (start..).zip(slots) {
            match slot {
                Slot::Unknown => {
                    return Err(wrong("neither it nor a patch has an entry for a block"));
                }
                Slot::Zero => self.close(),
                Slot::Stored { pack: None, .. } => {
                    let why = "an entry lies in a pack that the manifest does not reach";
                    return Err(wrong(why));
                }
                Slot::Stored {
                    id,
                    pack: Some(pack),
                    place,
                } => {
                    self.push(*pack, stretch.file, block, *place);
                    self.check.add(id);
                }
            }
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
