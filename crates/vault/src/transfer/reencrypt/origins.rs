//! Where the packs of a snapshot that was sealed anew came from: for each pack of the origin,
//! the packs here that hold frames of it. So the next copy moves only what is not here yet.
//!
//! It does not know keys; it lies in the sealed body of the manifest, which has them.
use model::Hash;

use crate::format::{
    cursor::Cursor,
    head::{FRAME_BLOCKS, PACK_FRAMES, VolumeTag},
    pack::Place,
};

/// Which blocks of a frame are meant, one bit each.
pub(crate) type Mask = u32;
/// The whole frame, however many blocks it has.
pub(crate) const WHOLE: Mask = Mask::MAX;
const _: () = assert!(FRAME_BLOCKS == Mask::BITS as usize);

const NONE_FRAME: u8 = 0;
const WHOLE_FRAME: u8 = 1;
const SOME_BLOCKS: u8 = 2;
/// Stands where the number of a pack would, when the snapshot does not reach it.
const UNREACHED: u32 = u32::MAX;

/// What a pack here holds of a pack of the origin: frames in their order, each with the blocks
/// that came along.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Carried {
    /// For each frame of the origin's pack its mask, and how many frames before it came along.
    frames: Vec<(Mask, u16)>,
    taken: u16,
}

impl Carried {
    pub(crate) fn of(masks: impl IntoIterator<Item = Mask>) -> Self {
        let mut carried = Self::default();
        for mask in masks {
            carried.frames.push((mask, carried.taken));
            carried.taken += u16::from(mask != 0);
        }
        carried
    }

    /// The blocks of a frame that came along.
    pub(crate) fn mask(&self, frame: usize) -> Mask {
        self.frames.get(frame).map_or(0, |(mask, _)| *mask)
    }

    /// Where a block of the origin's pack lies here, if it came along.
    pub(crate) fn place(&self, origin: Place) -> Option<Place> {
        let (mask, before) = self.frames.get(origin.frame())?;
        let there = mask & (1 << origin.block()) != 0;
        there.then(|| Place::new(usize::from(*before), origin.block()))
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        let count = u16::try_from(self.frames.len()).expect("a pack has few frames");
        bytes.extend_from_slice(&count.to_le_bytes());
        for (mask, _) in &self.frames {
            match *mask {
                0 => bytes.push(NONE_FRAME),
                WHOLE => bytes.push(WHOLE_FRAME),
                mask => {
                    bytes.push(SOME_BLOCKS);
                    bytes.extend_from_slice(&mask.to_le_bytes());
                }
            }
        }
    }

    fn parse(cursor: &mut Cursor<'_>) -> Option<Self> {
        let count = usize::from(cursor.u16()?);
        if PACK_FRAMES < count {
            return None;
        }
        let masks = (0..count).map(|_| match cursor.take(1)? {
            [NONE_FRAME] => Some(0),
            [WHOLE_FRAME] => Some(WHOLE),
            [SOME_BLOCKS] => cursor.u32().filter(|mask| !matches!(*mask, 0 | WHOLE)),
            _ => None,
        });
        Some(Self::of(masks.collect::<Option<Vec<_>>>()?))
    }
}

/// A pack here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// By its number in the manifest's table.
    Reached(u32),
    /// By its hash: the snapshot does not reach it, but block lists still name it.
    Unreached(Hash),
}

/// A row of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) origin: Hash,
    pub(crate) local: Local,
    pub(crate) carried: Carried,
}

/// The map as it lies in a manifest's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origins {
    /// The volume that the packs came from.
    pub(crate) volume: VolumeTag,
    pub(crate) rows: Vec<Row>,
    /// The hash of the plaintext of each list of the manifest, in its order.
    pub(crate) lists: Vec<[u8; 32]>,
}

impl Origins {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.volume.0.to_vec();
        crate::format::cursor::put_count(&mut bytes, self.rows.len());
        for row in &self.rows {
            bytes.extend_from_slice(&row.origin.0);
            match row.local {
                Local::Reached(number) => bytes.extend_from_slice(&number.to_le_bytes()),
                Local::Unreached(hash) => {
                    bytes.extend_from_slice(&UNREACHED.to_le_bytes());
                    bytes.extend_from_slice(&hash.0);
                }
            }
            row.carried.put(&mut bytes);
        }
        crate::format::cursor::put_count(&mut bytes, self.lists.len());
        for list in &self.lists {
            bytes.extend_from_slice(list);
        }
        bytes
    }

    /// Reads a map of a manifest that reaches so many packs.
    pub(crate) fn parse(bytes: &[u8], packs: usize) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let volume = VolumeTag(cursor.array()?);
        let rows = (0..cursor.count(32 + 4 + 2)?)
            .map(|_| {
                let origin = Hash(cursor.array()?);
                let local = match cursor.u32()? {
                    UNREACHED => Local::Unreached(Hash(cursor.array()?)),
                    number if (number as usize) < packs => Local::Reached(number),
                    _ => return None,
                };
                let carried = Carried::parse(&mut cursor)?;
                Some(Row {
                    origin,
                    local,
                    carried,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let lists = (0..cursor.count(32)?)
            .map(|_| cursor.array())
            .collect::<Option<Vec<_>>>()?;
        cursor.0.is_empty().then_some(Self {
            volume,
            rows,
            lists,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask() -> impl Strategy<Value = Mask> {
        prop_oneof![Just(0), Just(WHOLE), any::<Mask>()]
    }

    fn row() -> impl Strategy<Value = Row> {
        let local = prop_oneof![
            (0_u32..5).prop_map(Local::Reached),
            any::<[u8; 32]>().prop_map(|hash| Local::Unreached(Hash(hash))),
        ];
        let masks = proptest::collection::vec(mask(), 0..40);
        (any::<[u8; 32]>(), local, masks).prop_map(|(origin, local, masks)| Row {
            origin: Hash(origin),
            local,
            carried: Carried::of(masks),
        })
    }

    proptest! {
        #[test]
        fn maps_come_back(
            rows in proptest::collection::vec(row(), 0..8),
            lists in proptest::collection::vec(any::<[u8; 32]>(), 0..4),
        ) {
            let origins = Origins { volume: VolumeTag([3; 32]), rows, lists };
            prop_assert_eq!(Origins::parse(&origins.to_bytes(), 5), Some(origins));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Origins::parse(&bytes, 3);
        }

        #[test]
        fn places_follow_the_frames_that_came_along(masks in proptest::collection::vec(mask(), 0..60)) {
            let carried = Carried::of(masks.clone());
            for (frame, mask) in masks.iter().enumerate() {
                let before = masks[..frame].iter().filter(|mask| **mask != 0).count();
                for block in 0..FRAME_BLOCKS {
                    let there = mask & (1 << block) != 0;
                    let expected = there.then(|| Place::new(before, block));
                    prop_assert_eq!(carried.place(Place::new(frame, block)), expected);
                }
            }
            prop_assert_eq!(carried.place(Place::new(masks.len(), 0)), None);
        }
    }

    #[test]
    fn a_map_that_names_what_the_manifest_does_not_reach_is_refused() {
        let row = Row {
            origin: Hash([1; 32]),
            local: Local::Reached(4),
            carried: Carried::of([WHOLE]),
        };
        let origins = Origins {
            volume: VolumeTag([3; 32]),
            rows: vec![row],
            lists: vec![],
        };
        assert!(Origins::parse(&origins.to_bytes(), 4).is_none());
    }
}
