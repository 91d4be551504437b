//! A door for the micro-benchmarks: the paths that every block takes, one by one.
//!
//! It does not write or read vaults; nothing else uses it.
use crate::{
    block::IdKey,
    error::ObjectKind,
    format::{BLOCK_BYTES, Head, VolumeTag},
    part::{Packer, PartSpan, Unpacker, part_bytes_max},
    seal::{ObjectKey, Seal, draw},
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

/// A block's id under a fixed key.
pub fn block_id(block: &[u8]) -> [u8; 16] {
    IdKey([7; 32]).id(block)
}

/// Compresses and seals frames, and reads the last one back.
pub struct Frames {
    head: Head,
    key: ObjectKey,
    packer: Packer,
    unpacker: Unpacker,
    sealed: Vec<u8>,
    opened: Vec<u8>,
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
        assert_ne!(
            block_id(&frame[..BLOCK_BYTES]),
            block_id(&frame[BLOCK_BYTES..2 * BLOCK_BYTES])
        );
    }
}
