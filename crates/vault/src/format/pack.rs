//! Packs: the head and then frames of blocks, built in one reused buffer.
//!
//! It does not know which file a block belongs to.
use model::Hash;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        head::{
            BLOCK_BYTES, FRAME_BLOCKS, FRAME_BYTES, HEAD_BYTES, Head, PACK_BYTES, PACK_FRAMES,
            VolumeTag,
        },
        part::{Packer, PartSpan, Unpacker, part_bytes_max},
        seal::{ObjectKey, Seal, draw},
    },
};

/// Where a block lies in its pack: the frame's number, and its own number in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) u16);

impl Place {
    pub(crate) fn new(frame: usize, block: usize) -> Self {
        let place = frame * FRAME_BLOCKS + block;
        Self(u16::try_from(place).expect("a pack's blocks are numbered with 16 bits"))
    }

    pub(crate) fn frame(self) -> usize {
        usize::from(self.0) / FRAME_BLOCKS
    }

    pub(crate) fn block(self) -> usize {
        usize::from(self.0) % FRAME_BLOCKS
    }
}

/// A pack that is ready for the vault.
#[derive(Debug)]
pub(crate) struct FinishedPack {
    pub(crate) hash: Hash,
    pub(crate) key: ObjectKey,
    /// The pack's bytes.
    pub(crate) bytes: Vec<u8>,
}

/// A pack that is filling.
pub(crate) struct PackBuilder {
    key: ObjectKey,
    seal: Seal,
    buffer: Vec<u8>,
    length: usize,
    frames: usize,
    /// The blocks of the frame that is filling; as long as a whole frame.
    plain: Vec<u8>,
    blocks: usize,
    hasher: blake3::Hasher,
}

/// The two buffers that one pack after another is built in.
#[derive(Debug, Default)]
pub(crate) struct PackBuffers {
    pub(crate) pack: Vec<u8>,
    pub(crate) frame: Vec<u8>,
}

impl PackBuilder {
    pub(crate) fn begin(volume: VolumeTag, sealed: bool, buffers: PackBuffers) -> Self {
        let PackBuffers {
            mut pack,
            mut frame,
        } = buffers;
        whole(&mut pack);
        frame.resize(FRAME_BYTES, 0);
        let head = Head {
            kind: ObjectKind::Pack,
            sealed,
            volume,
            salt: draw(),
        };
        let key = ObjectKey::draw();
        let bytes = head.to_bytes();
        pack[..HEAD_BYTES].copy_from_slice(&bytes);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes);
        Self {
            seal: Seal::new(&head, sealed.then_some(&key.0), &bytes),
            key,
            buffer: pack,
            length: HEAD_BYTES,
            frames: 0,
            plain: frame,
            blocks: 0,
            hasher,
        }
    }

    /// Appends a block, padded with zeros to full length, and tells where it lies.
    pub(crate) fn push(&mut self, block: &[u8], packer: &mut Packer) -> Place {
        let place = Place::new(self.frames, self.blocks);
        let start = self.blocks * BLOCK_BYTES;
        let (text, padding) = self.plain[start..start + BLOCK_BYTES].split_at_mut(block.len());
        text.copy_from_slice(block);
        padding.fill(0);
        self.blocks += 1;
        if self.blocks == FRAME_BLOCKS {
            self.close_frame(packer);
        }
        place
    }

    fn close_frame(&mut self, packer: &mut Packer) {
        if self.blocks == 0 {
            return;
        }
        let number = u32::try_from(self.frames).expect("a pack has few frames");
        let taken = packer.write(
            &mut self.seal,
            number,
            &self.plain[..self.blocks * BLOCK_BYTES],
            &mut self.buffer[self.length..],
        );
        // Hashed at once, while the bytes are in the cache.
        self.hasher
            .update(&self.buffer[self.length..self.length + taken]);
        self.length += taken;
        self.frames += 1;
        self.blocks = 0;
    }

    /// Whether another block may not fit any more.
    pub(crate) fn is_full(&self) -> bool {
        self.blocks == 0
            && (self.frames == PACK_FRAMES
                || PACK_BYTES < self.length + part_bytes_max(FRAME_BYTES))
    }

    /// Closes the last frame and the pack; the frame's buffer comes back for the next pack.
    pub(crate) fn finish(mut self, packer: &mut Packer) -> (FinishedPack, Vec<u8>) {
        self.close_frame(packer);
        self.buffer.truncate(self.length);
        let finished = FinishedPack {
            hash: Hash(*self.hasher.finalize().as_bytes()),
            key: self.key,
            bytes: self.buffer,
        };
        (finished, self.plain)
    }
}

impl std::fmt::Debug for PackBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackBuilder")
            .field("length", &self.length)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

/// Makes a buffer as long as a pack. Fresh memory comes as zeros that the system makes page by
/// page when they are touched, so that a pack that stays small costs little.
pub(crate) fn whole(buffer: &mut Vec<u8>) {
    if buffer.capacity() < PACK_BYTES {
        *buffer = vec![0; PACK_BYTES];
    } else {
        buffer.resize(PACK_BYTES, 0);
    }
}

/// Walks the frames of a pack whose hash was checked. Opening a frame changes the pack's bytes
/// in place, so each frame is opened at most once.
pub(crate) struct PackReader<'a> {
    object: ObjectId,
    bytes: &'a mut [u8],
    seal: Seal,
    next: usize,
    number: usize,
}

impl<'a> PackReader<'a> {
    /// # Errors
    /// When it is no pack of this volume, or not sealed as its key says.
    pub(crate) fn new(
        hash: Hash,
        bytes: &'a mut [u8],
        volume: VolumeTag,
        key: Option<&ObjectKey>,
    ) -> Result<Self, VaultError> {
        let object = ObjectId {
            kind: ObjectKind::Pack,
            hash,
        };
        let head = Head::parse(bytes, object, volume)?;
        if head.sealed != key.is_some() {
            return Err(VaultError::Sealing {
                object,
                sealed: head.sealed,
            });
        }
        let seal = Seal::new(&head, key.map(|key| &key.0), &bytes[..HEAD_BYTES]);
        Ok(Self {
            object,
            bytes,
            seal,
            next: HEAD_BYTES,
            number: 0,
        })
    }

    /// The next frame's number and span; none at the pack's end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<(usize, PartSpan)>, VaultError> {
        if self.next == self.bytes.len() {
            return Ok(None);
        }
        let wrong = |why| VaultError::damaged(self.object, why);
        let span =
            PartSpan::read(self.bytes, self.next, FRAME_BYTES).map_err(|e| wrong(e.why()))?;
        if self.number == PACK_FRAMES {
            return Err(wrong("it has more frames than format 1 allows"));
        }
        if span.plain == 0 || !span.plain.is_multiple_of(BLOCK_BYTES) {
            return Err(wrong("a frame does not hold whole blocks"));
        }
        let number = self.number;
        self.next = span.end();
        self.number += 1;
        Ok(Some((number, span)))
    }

    /// Opens a frame and gives its bytes as they were packed.
    pub(crate) fn open_packed(
        &mut self,
        (number, span): (usize, PartSpan),
    ) -> Result<&[u8], VaultError> {
        let number = u32::try_from(number).expect("a pack has few frames");
        span.open(&mut self.seal, number, self.bytes)
            .map_err(|e| VaultError::damaged(self.object, e.why()))
    }

    /// Lays a frame's blocks into `plain`, which is as long as a whole frame.
    pub(crate) fn open_frame(
        &mut self,
        (number, span): (usize, PartSpan),
        unpacker: &mut Unpacker,
        plain: &mut [u8],
    ) -> Result<(), VaultError> {
        let number = u32::try_from(number).expect("a pack has few frames");
        unpacker
            .read(&mut self.seal, number, span, self.bytes, plain)
            .map_err(|e| VaultError::damaged(self.object, e.why()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VOLUME: VolumeTag = VolumeTag([4; 32]);

    fn read_all(pack: &FinishedPack, sealed: bool) -> Result<Vec<Vec<u8>>, VaultError> {
        let mut bytes = pack.bytes.clone();
        let mut reader =
            PackReader::new(pack.hash, &mut bytes, VOLUME, sealed.then_some(&pack.key))?;
        let (mut unpacker, mut frame) = (Unpacker::new(), vec![0; FRAME_BYTES]);
        let mut blocks = Vec::new();
        while let Some(found) = reader.next_frame()? {
            reader.open_frame(found, &mut unpacker, &mut frame)?;
            blocks.extend(
                frame[..found.1.plain]
                    .chunks(BLOCK_BYTES)
                    .map(<[u8]>::to_vec),
            );
        }
        Ok(blocks)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 10))]
        #[test]
        fn blocks_come_back_from_their_places(
            lengths in proptest::collection::vec(1..=BLOCK_BYTES, 1..80), sealed: bool
        ) {
            let mut packer = Packer::new();
            let mut pack = PackBuilder::begin(VOLUME, sealed, PackBuffers::default());
            let blocks: Vec<Vec<u8>> = lengths
                .iter()
                .enumerate()
                .map(|(i, length)| vec![u8::try_from(i + 1).expect("few"); *length])
                .collect();
            let places: Vec<Place> = blocks.iter().map(|b| pack.push(b, &mut packer)).collect();
            let (pack, _) = pack.finish(&mut packer);
            prop_assert_eq!(Hash(*blake3::hash(&pack.bytes).as_bytes()), pack.hash);
            let read = read_all(&pack, sealed).expect("reads");
            prop_assert_eq!(read.len(), blocks.len());
            for (block, place) in blocks.iter().zip(places) {
                let back = &read[place.frame() * FRAME_BLOCKS + place.block()];
                prop_assert_eq!(&back[..block.len()], block.as_slice());
                prop_assert!(back[block.len()..].iter().all(|b| *b == 0));
            }
        }

        #[test]
        fn arbitrary_frames_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..100)) {
            let pack = PackBuilder::begin(VOLUME, false, PackBuffers::default());
            let (mut pack, _) = pack.finish(&mut Packer::new());
            pack.bytes.extend(tail);
            let _ = read_all(&pack, false);
        }
    }

    #[test]
    fn a_pack_keeps_its_bounds() {
        let mut packer = Packer::new();
        // Noise fills it by bytes, one repeated block by frames.
        for noisy in [true, false] {
            let mut pack = PackBuilder::begin(VOLUME, true, PackBuffers::default());
            let mut block = [7_u8; BLOCK_BYTES];
            let (mut count, mut last) = (0_u64, Place(0));
            while !pack.is_full() {
                if noisy {
                    blake3::Hasher::new()
                        .update(&count.to_le_bytes())
                        .finalize_xof()
                        .fill(&mut block);
                }
                last = pack.push(&block, &mut packer);
                count += 1;
            }
            let (pack, _) = pack.finish(&mut packer);
            assert!(pack.bytes.len() <= PACK_BYTES);
            if noisy {
                assert!(PACK_BYTES - pack.bytes.len() < part_bytes_max(FRAME_BYTES));
            } else {
                assert_eq!(last, Place(u16::MAX));
            }
        }
    }

    #[test]
    fn packs_are_bound_to_volume_and_sealing() {
        let mut packer = Packer::new();
        let mut pack = PackBuilder::begin(VOLUME, true, PackBuffers::default());
        pack.push(&[1; 10], &mut packer);
        let (mut pack, _) = pack.finish(&mut packer);
        assert!(read_all(&pack, true).is_ok());
        assert!(matches!(
            read_all(&pack, false),
            Err(VaultError::Sealing { sealed: true, .. })
        ));
        let other = PackReader::new(
            pack.hash,
            &mut pack.bytes,
            VolumeTag([5; 32]),
            Some(&pack.key),
        );
        assert!(matches!(other, Err(VaultError::Damaged { .. })));
    }
}
