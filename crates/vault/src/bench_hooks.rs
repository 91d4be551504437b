//! A door for the micro-benchmarks: the paths that every block takes, one by one.
//!
//! It does not write or read vaults; nothing else uses it.
use model::{Hash, VolumeRef};

use crate::{
    Base, Condemned, Extent, Sealing, SnapshotWriter, Vault, VaultError, WriteOptions,
    error::ObjectKind,
    format::{
        block::IdKey,
        head::{BLOCK_BYTES, FRAME_BYTES, Head, VolumeTag},
        pack::{FinishedPack, PackBuffers, PackBuilder},
        part::{Packer, PartSpan, Unpacker, part_bytes_max, write_packed},
        seal::{ObjectKey, Seal, draw},
    },
    transfer::reencrypt::frames::{PackBlocks, Tools, reencrypt},
};

/// Bytes that compress about as a table's pages do: rows of counters and padding.
pub fn sample(bytes: usize) -> Vec<u8> {
    let row = |number: usize| {
        let balance = number.wrapping_mul(2_654_435_761) as u32;
        format!("{number:010} {balance:010} {:<60}", number % 10)
    };
    let mut text: Vec<u8> = (0..)
        .flat_map(|number| row(number).into_bytes())
        .take(bytes)
        .collect();
    text.truncate(bytes);
    text
}

/// Bytes that do not compress.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

/// A block's id under a fixed key.
pub fn block_id(block: &[u8]) -> [u8; 16] {
    IdKey([7; 32]).id(block)
}

/// The ids of all blocks of a frame under a fixed key, the last one of them.
pub fn block_ids(frame: &[u8]) -> [u8; 16] {
    let mut last = [0; 16];
    IdKey([7; 32]).ids(frame.chunks(BLOCK_BYTES), |id| last = id);
    last
}

/// Compresses and seals frames, and reads the last one back.
pub struct Frames {
    head: Head,
    key: ObjectKey,
    packer: Packer,
    unpacker: Unpacker,
    sealed: Vec<u8>,
    opened: Vec<u8>,
    resealed: Vec<u8>,
    plain: Vec<u8>,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Frames(..)")
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

impl Frames {
    /// Under a key drawn for it.
    pub fn new() -> Self {
        Self {
            head: Head {
                kind: ObjectKind::Pack,
                sealed: true,
                volume: VolumeTag([1; 32]),
                salt: draw(),
            },
            key: ObjectKey::draw(),
            packer: Packer::new(),
            unpacker: Unpacker::new(),
            sealed: Vec::new(),
            opened: Vec::new(),
            resealed: Vec::new(),
            plain: vec![0; BLOCK_BYTES],
        }
    }

    fn seal(&self) -> Seal {
        Seal::new(&self.head, Some(&self.key.0), &self.head.to_bytes())
    }

    /// Compresses and seals a frame; answers the bytes it took.
    pub fn write(&mut self, frame: &[u8]) -> usize {
        let mut seal = self.seal();
        self.sealed.resize(part_bytes_max(frame.len()), 0);
        self.plain.resize(frame.len(), 0);
        self.packer.write(&mut seal, 0, frame, &mut self.sealed)
    }

    /// Opens the frame that was written last and seals it under another key as it was compressed;
    /// answers the bytes it took, none when it could not.
    pub fn reencrypt(&mut self) -> usize {
        let mut seal = self.seal();
        self.opened.clear();
        self.opened.extend_from_slice(&self.sealed);
        let Ok(span) = PartSpan::read(&self.opened, 0, self.plain.len()) else {
            return 0;
        };
        let Ok(packed) = span.open(&mut seal, 0, &mut self.opened) else {
            return 0;
        };
        let mut fresh = Seal::new(&self.head, Some(&[9; 32]), &self.head.to_bytes());
        self.resealed.resize(part_bytes_max(self.plain.len()), 0);
        write_packed(&mut fresh, 0, span, packed, &mut self.resealed)
    }

    /// Opens and decompresses the frame that was written last; answers whether it could.
    pub fn read(&mut self) -> bool {
        let mut seal = self.seal();
        self.opened.clear();
        self.opened.extend_from_slice(&self.sealed);
        let Ok(span) = PartSpan::read(&self.opened, 0, self.plain.len()) else {
            return false;
        };
        self.unpacker
            .read(&mut seal, 0, span, &mut self.opened, &mut self.plain)
            .is_ok()
    }
}

/// Begins a snapshot that leaves packs of which fewer blocks than this share are live, percent.
///
/// # Errors
/// As [`SnapshotWriter::begin`].
pub fn begin_leaving(
    vault: &Vault,
    volume: &VolumeRef,
    sealing: Sealing,
    base: Option<Base>,
    sparse_percent: u64,
    options: WriteOptions,
) -> Result<SnapshotWriter, VaultError> {
    let none = Condemned::new();
    SnapshotWriter::begin_leaving(vault, volume, sealing, base, &none, options, sparse_percent)
}

/// Seals a full pack anew, again and again.
pub struct WholePack {
    pack: FinishedPack,
    masks: Vec<u32>,
    bytes: Vec<u8>,
    tools: Tools,
}

impl std::fmt::Debug for WholePack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WholePack(..)")
    }
}

impl Default for WholePack {
    fn default() -> Self {
        Self::new()
    }
}

impl WholePack {
    const FROM: VolumeTag = VolumeTag([1; 32]);
    const TO: VolumeTag = VolumeTag([2; 32]);

    /// Full of blocks as a table's.
    pub fn new() -> Self {
        let mut packer = Packer::new();
        let mut pack = PackBuilder::begin(Self::FROM, true, PackBuffers::default());
        let (text, mut masks) = (sample(FRAME_BYTES), Vec::new());
        while !pack.is_full() {
            for block in text.chunks(BLOCK_BYTES) {
                pack.push(block, &mut packer);
            }
            masks.push(u32::MAX);
        }
        let (pack, _) = pack.finish(&mut packer);
        Self {
            bytes: pack.bytes.clone(),
            pack,
            masks,
            tools: Tools::new(),
        }
    }

    /// Its bytes.
    pub fn stored_bytes(&self) -> usize {
        self.pack.bytes.len()
    }

    /// What a copy does with it: hashes it, opens and seals every frame, and hashes what comes
    /// of it. (It is copied before, since opening changes it; that is timed too.)
    pub fn reencrypt(&mut self) -> bool {
        self.bytes.copy_from_slice(&self.pack.bytes);
        let hash = Hash(*blake3::hash(&self.bytes).as_bytes());
        let wanted = PackBlocks {
            hash,
            bytes: &mut self.bytes,
            volume: Self::FROM,
            key: Some(&self.pack.key),
            masks: &self.masks,
        };
        let mut made = reencrypt(wanted, Self::TO, Extent::Frames, &mut self.tools);
        let Ok([made]) = made.as_deref_mut() else {
            return false;
        };
        self.tools.buffer = std::mem::take(&mut made.bytes);
        hash == self.pack.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_timed_is_the_real_work() {
        let frame = sample(3 * BLOCK_BYTES);
        let mut frames = Frames::new();
        assert!(frames.write(&frame) < frame.len());
        assert!(frames.read());
        assert_eq!(frames.plain, frame);
        assert_eq!(frames.reencrypt(), frames.write(&frame));
        let mut pack = WholePack::new();
        assert!(15 << 20 < pack.stored_bytes() && pack.reencrypt() && pack.reencrypt());
        assert_ne!(
            block_id(&frame[..BLOCK_BYTES]),
            block_id(&frame[BLOCK_BYTES..2 * BLOCK_BYTES])
        );
    }
}
