//! Block lists: for stretches of files, the id of each block and where it lies. A list holds
//! either whole stretches or patches, whose entries also say which block they replace.
//!
//! It does not know which files the stretches belong to, nor what a patch lies upon: manifests
//! say that.
use std::collections::HashMap;

use model::Hash;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        block::BlockId,
        cursor::Cursor,
        head::{HEAD_BYTES, Head, LIST_BYTES, LIST_ENTRIES, SEGMENT_BLOCKS, VolumeTag},
        pack::Place,
        part::{Packer, PartSpan, Unpacker, part_bytes_max},
        seal::{ObjectKey, Seal, draw},
    },
};

/// Stands where the number of a pack would, when a block is all zero and nothing is stored.
const ZERO_BLOCK: u16 = u16::MAX;
const ENTRY_BYTES: usize = 16 + 2 + 2;
const COUNTS_BYTES: usize = 4 + 4 + 4;
const WHOLE: u32 = 0;
const PATCHES: u32 = 1;

/// What a snapshot being written knows about one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// All zero.
    Zero,
    /// Stored.
    Stored {
        /// Its id.
        id: BlockId,
        /// The pack's number in the new manifest.
        pack: u32,
        /// Where in the pack.
        place: Place,
    },
}

/// A block list that is filling: its entries name packs by their number in the new manifest.
#[derive(Debug)]
pub(crate) struct ListDraft {
    entries: Vec<Entry>,
    /// For each entry, the block of its segment that it stands for; none in whole lists.
    positions: Option<Vec<u16>>,
}

impl ListDraft {
    /// A list of whole stretches.
    pub(crate) fn whole() -> Self {
        Self {
            entries: Vec::new(),
            positions: None,
        }
    }

    /// A list of patches.
    pub(crate) fn patches() -> Self {
        Self {
            entries: Vec::new(),
            positions: Some(Vec::new()),
        }
    }

    /// Whether another whole segment may not fit.
    pub(crate) fn is_full(&self) -> bool {
        LIST_ENTRIES < self.entries.len() + SEGMENT_BLOCKS
    }

    /// Appends a segment and gives the number of its first entry.
    pub(crate) fn push(&mut self, segment: &[Entry]) -> u32 {
        debug_assert!(self.positions.is_none());
        let first = u32::try_from(self.entries.len()).expect("a list has few entries");
        self.entries.extend_from_slice(segment);
        first
    }

    /// Appends a patch: the entries of a segment at these ascending positions. Gives the number
    /// of its first entry.
    pub(crate) fn push_patch(&mut self, segment: &[Entry], at: &[u16]) -> u32 {
        let first = u32::try_from(self.entries.len()).expect("a list has few entries");
        let entries = at.iter().map(|at| segment[usize::from(*at)]);
        self.entries.extend(entries);
        if let Some(positions) = &mut self.positions {
            positions.extend_from_slice(at);
        }
        first
    }

    /// A list of these entries, with a position for each in a list of patches.
    pub(crate) fn of(entries: Vec<Entry>, positions: Option<Vec<u16>>) -> Self {
        Self { entries, positions }
    }

    /// Builds the object; `hash_of` gives the hash of a pack that is finished.
    pub(crate) fn finish(
        &self,
        volume: VolumeTag,
        sealed: bool,
        packer: &mut Packer,
        hash_of: impl Fn(u32) -> Hash,
    ) -> (Hash, ObjectKey, Vec<u8>) {
        Self::seal(&self.plain(hash_of), volume, sealed, packer)
    }

    /// Builds the object of a plaintext that [`Self::plain`] gave.
    pub(crate) fn seal(
        plain: &[u8],
        volume: VolumeTag,
        sealed: bool,
        packer: &mut Packer,
    ) -> (Hash, ObjectKey, Vec<u8>) {
        let head = Head {
            kind: ObjectKind::List,
            sealed,
            volume,
            salt: draw(),
        };
        let key = ObjectKey::draw();
        let mut object = vec![0; HEAD_BYTES + part_bytes_max(plain.len())];
        let head_bytes = head.to_bytes();
        object[..HEAD_BYTES].copy_from_slice(&head_bytes);
        let mut seal = Seal::new(&head, sealed.then_some(&key.0), &head_bytes);
        let taken = packer.write(&mut seal, 0, plain, &mut object[HEAD_BYTES..]);
        object.truncate(HEAD_BYTES + taken);
        (Hash(*blake3::hash(&object).as_bytes()), key, object)
    }

    /// Columns rather than rows: the places then compress to little, and ids never do.
    pub(crate) fn plain(&self, hash_of: impl Fn(u32) -> Hash) -> Vec<u8> {
        let mut local = HashMap::new();
        let mut packs = Vec::new();
        let numbers: Vec<u16> = self
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Zero => ZERO_BLOCK,
                Entry::Stored { pack, .. } => *local.entry(*pack).or_insert_with(|| {
                    packs.push(*pack);
                    u16::try_from(packs.len() - 1).expect("no more packs than entries")
                }),
            })
            .collect();
        let room = COUNTS_BYTES + 32 * packs.len() + (ENTRY_BYTES + 2) * numbers.len();
        let mut plain = Vec::with_capacity(room);
        for count in [packs.len(), numbers.len()] {
            let count = u32::try_from(count).expect("a list has few entries");
            plain.extend_from_slice(&count.to_le_bytes());
        }
        let kind = self.positions.as_ref().map_or(WHOLE, |_| PATCHES);
        plain.extend_from_slice(&kind.to_le_bytes());
        for pack in packs {
            plain.extend_from_slice(&hash_of(pack).0);
        }
        for entry in &self.entries {
            plain.extend_from_slice(match entry {
                Entry::Zero => &[0; 16],
                Entry::Stored { id, .. } => id,
            });
        }
        for number in numbers {
            plain.extend_from_slice(&number.to_le_bytes());
        }
        for entry in &self.entries {
            plain.extend_from_slice(&match entry {
                Entry::Zero => [0; 2],
                Entry::Stored { place, .. } => place.0.to_le_bytes(),
            });
        }
        for position in self.positions.iter().flatten() {
            plain.extend_from_slice(&position.to_le_bytes());
        }
        plain
    }
}

/// One entry of a list that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListEntry<'a> {
    /// All zero.
    Zero,
    /// Stored.
    Stored {
        /// Its id.
        id: &'a BlockId,
        /// The pack's number in the list's own table.
        pack: usize,
        /// Where in the pack.
        place: Place,
    },
}

/// A block list as read: its plaintext, and where the columns begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct List {
    plain: Vec<u8>,
    packs: usize,
    entries: usize,
    patches: bool,
}

impl List {
    /// Reads a list whose hash was checked; its bytes are opened in place.
    ///
    /// # Errors
    /// When it is no list of this volume, does not open under the key, or breaks a rule.
    pub(crate) fn read(
        hash: Hash,
        bytes: &mut [u8],
        volume: VolumeTag,
        key: Option<&ObjectKey>,
        unpacker: &mut Unpacker,
    ) -> Result<Self, VaultError> {
        let object = ObjectId {
            kind: ObjectKind::List,
            hash,
        };
        let wrong = |why| VaultError::damaged(object, why);
        let head = Head::parse(bytes, object, volume)?;
        if head.sealed != key.is_some() {
            return Err(VaultError::Sealing {
                object,
                sealed: head.sealed,
            });
        }
        let mut seal = Seal::new(&head, key.map(|key| &key.0), &bytes[..HEAD_BYTES]);
        let span = PartSpan::read(bytes, HEAD_BYTES, LIST_BYTES).map_err(|e| wrong(e.why()))?;
        if span.end() != bytes.len() {
            return Err(wrong("it has bytes behind its end"));
        }
        let mut plain = vec![0; span.plain];
        unpacker
            .read(&mut seal, 0, span, bytes, &mut plain)
            .map_err(|e| wrong(e.why()))?;
        Self::parse(plain).map_err(wrong)
    }

    fn parse(plain: Vec<u8>) -> Result<Self, &'static str> {
        let mut cursor = Cursor(&plain);
        let counts = (cursor.u32(), cursor.u32(), cursor.u32());
        let (Some(packs), Some(entries), Some(kind)) = counts else {
            return Err("it ends within its counts");
        };
        let patches = match kind {
            WHOLE => false,
            PATCHES => true,
            _ => return Err("it is of a kind that format 1 does not know"),
        };
        let (packs, entries) = (packs as usize, entries as usize);
        if LIST_ENTRIES < entries || entries < packs {
            return Err("it has more entries or packs than format 1 allows");
        }
        let entry_bytes = ENTRY_BYTES + if patches { 2 } else { 0 };
        if cursor.0.len() != 32 * packs + entry_bytes * entries {
            return Err("its length is not that of its entries");
        }
        let list = Self {
            plain,
            packs,
            entries,
            patches,
        };
        let known = |number: u16| number == ZERO_BLOCK || usize::from(number) < packs;
        if !(0..entries).all(|entry| known(list.number(entry))) {
            return Err("an entry names a pack that is not in its table");
        }
        Ok(list)
    }

    /// Where the ids begin.
    fn ids(&self) -> usize {
        COUNTS_BYTES + 32 * self.packs
    }

    fn short(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.plain[at], self.plain[at + 1]])
    }

    fn number(&self, entry: usize) -> u16 {
        self.short(self.ids() + 16 * self.entries + 2 * entry)
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// Whether its entries are patches.
    pub(crate) fn is_patches(&self) -> bool {
        self.patches
    }

    /// The block of its segment that an entry of a patch stands for.
    pub(crate) fn position(&self, entry: usize) -> usize {
        debug_assert!(self.patches);
        usize::from(self.short(self.ids() + ENTRY_BYTES * self.entries + 2 * entry))
    }

    /// About what it takes in memory, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.plain.len() + 8 * self.packs
    }

    /// The hashes of the packs in its table.
    pub(crate) fn packs(&self) -> impl Iterator<Item = Hash> + '_ {
        let (hashes, _) = self.plain[COUNTS_BYTES..self.ids()].as_chunks::<32>();
        hashes.iter().map(|hash| Hash(*hash))
    }

    /// An entry by its number, which is less than [`Self::entries`].
    pub(crate) fn entry(&self, entry: usize) -> ListEntry<'_> {
        let number = self.number(entry);
        if number == ZERO_BLOCK {
            return ListEntry::Zero;
        }
        let ids = self.ids();
        let place = self.short(ids + (16 + 2) * self.entries + 2 * entry);
        ListEntry::Stored {
            id: self.plain[ids + 16 * entry..]
                .first_chunk()
                .expect("the length was checked"),
            pack: usize::from(number),
            place: Place(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VOLUME: VolumeTag = VolumeTag([4; 32]);

    fn hash_of(pack: u32) -> Hash {
        Hash(*blake3::hash(&pack.to_le_bytes()).as_bytes())
    }

    fn entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            Just(Entry::Zero),
            (any::<BlockId>(), 0_u32..40, any::<u16>()).prop_map(|(id, pack, place)| {
                Entry::Stored {
                    id,
                    pack,
                    place: Place(place),
                }
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]
        #[test]
        fn lists_come_back(entries in proptest::collection::vec(entry(), 0..300), sealed: bool, patches: bool) {
            let positions: Vec<u16> = (0..).step_by(2).take(entries.len()).collect();
            let mut draft = if patches { ListDraft::patches() } else { ListDraft::whole() };
            if patches {
                let spread: Vec<Entry> = entries.iter().flat_map(|e| [*e, Entry::Zero]).collect();
                draft.push_patch(&spread, &positions);
            } else {
                draft.push(&entries);
            }
            let (hash, key, mut bytes) = draft.finish(VOLUME, sealed, &mut Packer::new(), hash_of);
            prop_assert!(bytes.len() <= LIST_BYTES);
            let key = sealed.then_some(&key);
            let list = List::read(hash, &mut bytes, VOLUME, key, &mut Unpacker::new()).expect("reads");
            let packs: Vec<Hash> = list.packs().collect();
            prop_assert_eq!((list.entries(), list.is_patches()), (entries.len(), patches));
            for (number, position) in positions.iter().enumerate().filter(|_| patches) {
                prop_assert_eq!(list.position(number), usize::from(*position));
            }
            for (number, entry) in entries.iter().enumerate() {
                match (*entry, list.entry(number)) {
                    (Entry::Zero, ListEntry::Zero) => {}
                    (Entry::Stored { id, pack, place }, ListEntry::Stored { id: i, pack: p, place: l }) => {
                        prop_assert_eq!((&id, hash_of(pack), place), (i, packs[p], l));
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }

        #[test]
        fn arbitrary_plaintext_never_panics(plain in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(list) = List::parse(plain) {
                for entry in 0..list.entries() {
                    let _ = list.entry(entry);
                }
                let _ = list.packs().count();
            }
        }
    }

    #[test]
    fn a_full_list_is_within_its_bounds() {
        let mut draft = ListDraft::patches();
        let all: Vec<u16> = (0..4096).collect();
        let mut pack = 0;
        while !draft.is_full() {
            let segment: Vec<Entry> = (0..SEGMENT_BLOCKS)
                .map(|_| {
                    pack += 1;
                    let id = *hash_of(pack).0.first_chunk().expect("long enough");
                    let place = Place(0);
                    Entry::Stored { id, pack, place }
                })
                .collect();
            draft.push_patch(&segment, &all);
        }
        let (_, _, bytes) = draft.finish(VOLUME, true, &mut Packer::new(), hash_of);
        assert!(bytes.len() <= LIST_BYTES);
    }
}
