//! One pack of the origin into packs under fresh keys: its live frames as they were compressed.
//!
//! It does not know which files the blocks belong to, nor where packs are kept.
use model::Hash;

use super::origins::{Carried, Mask, WHOLE};
use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        head::{BLOCK_BYTES, FRAME_BYTES, HEAD_BYTES, Head, PACK_BYTES, PACK_FRAMES, VolumeTag},
        pack::{PackReader, whole},
        part::{Packer, PartSpan, Unpacker, part_bytes_max, write_packed},
        seal::{ObjectKey, Seal, draw},
    },
};

/// What comes along with a live block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Its frame, as it was compressed: the fastest, and the frame's dead blocks come along.
    Frames,
    /// Nothing: frames with dead blocks are compressed anew without them.
    Blocks,
}

/// A pack as it was read, and which of its blocks are wanted.
pub(crate) struct PackBlocks<'a> {
    pub(crate) hash: Hash,
    pub(crate) bytes: &'a mut [u8],
    pub(crate) volume: VolumeTag,
    /// None in a volume that is not sealed; what is made is not sealed then, either.
    pub(crate) key: Option<&'a ObjectKey>,
    /// For each of its frames.
    pub(crate) masks: &'a [Mask],
}

/// A pack under a fresh key.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) hash: Hash,
    pub(crate) key: Option<ObjectKey>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) carried: Carried,
    /// Blocks stored in it.
    pub(crate) blocks: u32,
}

/// What one thread uses again and again.
pub(crate) struct Tools {
    packer: Packer,
    unpacker: Unpacker,
    frame: Vec<u8>,
    /// For the pack that is made.
    pub(crate) buffer: Vec<u8>,
}

impl Tools {
    pub(crate) fn new() -> Self {
        Self {
            packer: Packer::new(),
            unpacker: Unpacker::new(),
            frame: vec![0; FRAME_BYTES],
            buffer: Vec::new(),
        }
    }
}

/// Seals what is wanted of a pack anew: as a rule into one pack, into a second one when it did
/// not fit. Every frame that comes along is opened under the old key, so altered ones are found.
///
/// # Errors
/// When the pack is damaged, or has not what is wanted of it.
pub(crate) fn reencrypt(
    wanted: PackBlocks<'_>,
    volume: VolumeTag,
    extent: Extent,
    tools: &mut Tools,
) -> Result<Vec<Fresh>, VaultError> {
    let object = ObjectId {
        kind: ObjectKind::Pack,
        hash: wanted.hash,
    };
    let missing = || VaultError::damaged(object, "it has not the blocks that its lists say");
    let mut reader = PackReader::new(wanted.hash, wanted.bytes, wanted.volume, wanted.key)?;
    let (mut made, mut filling) = (Vec::new(), None);
    let mut frames = 0;
    while let Some(found) = reader.next_frame()? {
        let (number, span) = found;
        frames = number + 1;
        let mask = wanted.masks.get(number).copied().unwrap_or(0);
        let all = WHOLE >> (Mask::BITS as usize - span.plain / BLOCK_BYTES);
        if mask & !all != 0 {
            return Err(missing());
        }
        if mask == 0 {
            continue;
        }
        let mut pack = match filling.take() {
            Some(pack) => pack,
            None => {
                let key = wanted.key.map(|_| ObjectKey::draw());
                Filling::begin(volume, key, std::mem::take(&mut tools.buffer))
            }
        };
        if mask == all || extent == Extent::Frames {
            let packed = reader.open_packed(found)?;
            if span.plain < packed.len() {
                return Err(VaultError::damaged(
                    object,
                    "a frame is larger than its blocks",
                ));
            }
            pack.take_frame(number, span, packed);
        } else {
            reader.open_frame(found, &mut tools.unpacker, &mut tools.frame)?;
            let plain = &mut tools.frame[..span.plain];
            for (block, bytes) in plain.chunks_mut(BLOCK_BYTES).enumerate() {
                if mask & (1 << block) == 0 {
                    bytes.fill(0);
                }
            }
            pack.take_blocks(number, mask, plain, &mut tools.packer);
        }
        if pack.is_full() {
            made.push(pack.finish());
        } else {
            filling = Some(pack);
        }
    }
    if wanted.masks.iter().skip(frames).any(|mask| *mask != 0) {
        return Err(missing());
    }
    made.extend(filling.map(Filling::finish));
    Ok(made)
}

/// A pack that fills with frames.
struct Filling {
    key: Option<ObjectKey>,
    seal: Seal,
    buffer: Vec<u8>,
    length: usize,
    hasher: blake3::Hasher,
    /// For each frame of the origin so far.
    masks: Vec<Mask>,
    frames: usize,
    blocks: usize,
}

impl Filling {
    fn begin(volume: VolumeTag, key: Option<ObjectKey>, mut buffer: Vec<u8>) -> Self {
        whole(&mut buffer);
        let head = Head {
            kind: ObjectKind::Pack,
            sealed: key.is_some(),
            volume,
            salt: draw(),
        };
        let bytes = head.to_bytes();
        buffer[..HEAD_BYTES].copy_from_slice(&bytes);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes);
        Self {
            seal: Seal::new(&head, key.as_ref().map(|key| &key.0), &bytes),
            key,
            buffer,
            length: HEAD_BYTES,
            hasher,
            masks: Vec::new(),
            frames: 0,
            blocks: 0,
        }
    }

    /// Whether another frame may not fit any more.
    fn is_full(&self) -> bool {
        self.frames == PACK_FRAMES || PACK_BYTES < self.length + part_bytes_max(FRAME_BYTES)
    }

    fn number(&self) -> u32 {
        u32::try_from(self.frames).expect("a pack has few frames")
    }

    /// Takes a frame as it was packed.
    fn take_frame(&mut self, origin: usize, span: PartSpan, packed: &[u8]) {
        let (number, room) = (self.number(), self.length);
        let taken = write_packed(
            &mut self.seal,
            number,
            span,
            packed,
            &mut self.buffer[room..],
        );
        self.taken(origin, WHOLE, span.plain / BLOCK_BYTES, taken);
    }

    /// Takes a frame of which only some blocks come along; the others are zero.
    fn take_blocks(&mut self, origin: usize, mask: Mask, plain: &[u8], packer: &mut Packer) {
        let (number, room) = (self.number(), self.length);
        let taken = packer.write(&mut self.seal, number, plain, &mut self.buffer[room..]);
        self.taken(origin, mask, mask.count_ones() as usize, taken);
    }

    fn taken(&mut self, origin: usize, mask: Mask, blocks: usize, bytes: usize) {
        // Hashed at once, while the bytes are in the cache.
        let end = self.length + bytes;
        self.hasher.update(&self.buffer[self.length..end]);
        self.length = end;
        self.masks.resize(origin, 0);
        self.masks.push(mask);
        self.frames += 1;
        self.blocks += blocks;
    }

    fn finish(mut self) -> Fresh {
        self.buffer.truncate(self.length);
        Fresh {
            hash: Hash(*self.hasher.finalize().as_bytes()),
            key: self.key,
            bytes: self.buffer,
            carried: Carried::of(self.masks),
            blocks: u32::try_from(self.blocks).expect("a pack has few blocks"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::pack::{FinishedPack, PackBuffers, PackBuilder};

    const HERE: VolumeTag = VolumeTag([4; 32]);
    const THERE: VolumeTag = VolumeTag([5; 32]);

    fn block(number: usize) -> Vec<u8> {
        (0..BLOCK_BYTES)
            .map(|at| u8::try_from((number * 31 + at / 64) % 251 + 1).expect("a byte"))
            .collect()
    }

    fn pack(blocks: usize) -> FinishedPack {
        let mut packer = Packer::new();
        let mut pack = PackBuilder::begin(HERE, true, PackBuffers::default());
        for number in 0..blocks {
            pack.push(&block(number), &mut packer);
        }
        pack.finish(&mut packer).0
    }

    fn reencrypted(
        pack: &FinishedPack,
        masks: &[Mask],
        extent: Extent,
    ) -> Result<Vec<Fresh>, VaultError> {
        let wanted = PackBlocks {
            hash: pack.hash,
            bytes: &mut pack.bytes.clone(),
            volume: HERE,
            key: Some(&pack.key),
            masks,
        };
        reencrypt(wanted, THERE, extent, &mut Tools::new())
    }

    /// The frames of a pack here, decompressed.
    fn frames(fresh: &Fresh) -> Vec<Vec<u8>> {
        assert_eq!(Hash(*blake3::hash(&fresh.bytes).as_bytes()), fresh.hash);
        let mut bytes = fresh.bytes.clone();
        let mut reader = PackReader::new(fresh.hash, &mut bytes, THERE, fresh.key.as_ref())
            .expect("opens under its own key");
        let (mut found, mut unpacker) = (Vec::new(), Unpacker::new());
        while let Some(at) = reader.next_frame().expect("reads") {
            let mut frame = vec![0; FRAME_BYTES];
            reader
                .open_frame(at, &mut unpacker, &mut frame)
                .expect("opens");
            frame.truncate(at.1.plain);
            found.push(frame);
        }
        found
    }

    #[test]
    fn only_frames_with_a_live_block_come_along_and_dead_blocks_when_they_may() {
        let pack = pack(32 * 3 + 5);
        let masks = [0, 1 << 3, 0, 0b11111];
        for extent in [Extent::Frames, Extent::Blocks] {
            let made = reencrypted(&pack, &masks, extent).expect("is sealed anew");
            let [fresh] = made.as_slice() else {
                panic!("one pack")
            };
            assert_ne!(fresh.key, Some(pack.key.clone()));
            assert_ne!(fresh.hash, pack.hash);
            let frames = frames(fresh);
            assert_eq!(frames.len(), 2);
            for (number, found) in frames[0].chunks(BLOCK_BYTES).enumerate() {
                let kept = extent == Extent::Frames || number == 3;
                let expected = if kept {
                    block(32 + number)
                } else {
                    vec![0; BLOCK_BYTES]
                };
                assert!(found == expected, "{extent:?} {number}");
            }
            assert_eq!(frames[1].len(), 5 * BLOCK_BYTES);
            assert!(frames[1][4 * BLOCK_BYTES..] == block(32 * 3 + 4));
            let (first, blocks) = match extent {
                Extent::Frames => (WHOLE, 37),
                Extent::Blocks => (1 << 3, 6),
            };
            assert_eq!(fresh.blocks, blocks);
            assert_eq!(fresh.carried, Carried::of([0, first, 0, WHOLE]));
        }
    }

    #[test]
    fn what_the_pack_has_not_is_not_made_up() {
        let pack = pack(32 + 5);
        for masks in [&[0, 1 << 5][..], &[1, 0, 1]] {
            let refused = reencrypted(&pack, masks, Extent::Frames);
            assert!(
                matches!(refused, Err(VaultError::Damaged { .. })),
                "{masks:?}"
            );
        }
        let mut altered = pack;
        let last = altered.bytes.len() - 1;
        altered.bytes[last] ^= 1;
        let refused = reencrypted(&altered, &[0, 1], Extent::Frames);
        assert!(matches!(refused, Err(VaultError::Damaged { .. })));
    }
}
