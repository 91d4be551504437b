//! Blocks: all zero or not, and the id by which two of them are compared.
//!
//! It does not know where blocks come from or where they lie.
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::format::{
    head::BLOCK_BYTES,
    tree_hash::{SIDE_BY_SIDE, side_by_side},
};

static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Whether a block holds only zeros.
pub(crate) fn is_zero(block: &[u8]) -> bool {
    // The first comparison decides nearly always; the second is a memcmp.
    block.first() == Some(&0) && *block == ZEROS[..block.len()]
}

/// A block's id: the first half of its keyed BLAKE3 hash.
pub(crate) type BlockId = [u8; 16];

/// The key of a volume's block ids, which only its manifests carry.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct IdKey(pub(crate) [u8; 32]);

impl IdKey {
    /// The id of a block's own bytes, without padding.
    pub(crate) fn id(&self, block: &[u8]) -> BlockId {
        first_half(blake3::keyed_hash(&self.0, block).as_bytes())
    }

    /// The ids of blocks, handed out in their order. Faster than one by one where many whole
    /// ones follow each other.
    pub(crate) fn ids<'a>(
        &self,
        blocks: impl IntoIterator<Item = &'a [u8]>,
        mut take: impl FnMut(BlockId),
    ) {
        let mut blocks = blocks.into_iter();
        let mut waiting = [[].as_slice(); SIDE_BY_SIDE];
        loop {
            let mut count = 0;
            for (place, block) in waiting.iter_mut().zip(&mut blocks) {
                *place = block;
                count += 1;
            }
            let whole = waiting.each_ref().map(|block| block.as_array());
            match whole.iter().flatten().count() {
                SIDE_BY_SIDE if count == SIDE_BY_SIDE => {
                    let whole = whole.map(|block| block.expect("all of them are whole"));
                    let hashes = side_by_side(&self.0, &whole);
                    hashes.iter().map(first_half).for_each(&mut take);
                }
                _ => waiting[..count]
                    .iter()
                    .for_each(|block| take(self.id(block))),
            }
            if count < SIDE_BY_SIDE {
                return;
            }
        }
    }
}

fn first_half(hash: &[u8; 32]) -> BlockId {
    *hash.first_chunk().expect("a hash has 32 bytes")
}

impl std::fmt::Debug for IdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdKey(..)")
    }
}

/// Condenses the ids of a run of blocks into 16 bytes, so that a plan to read them stays small
/// and still tells when one of them comes back changed or in another order.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunCheck(blake3::Hasher);

impl RunCheck {
    pub(crate) fn add(&mut self, id: &BlockId) {
        self.0.update(id);
    }

    /// The check so far; begins anew.
    pub(crate) fn finish(&mut self) -> [u8; 16] {
        let hash = self.0.finalize();
        self.0.reset();
        *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]
        #[test]
        fn ids_are_the_same_one_by_one_and_together(
            seed: u8, length in 0_usize..50 * BLOCK_BYTES, short in 0_usize..50,
        ) {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 31 / 977) as u8 ^ seed).collect();
            // A short block may stand anywhere, not only at the end.
            let mut blocks: Vec<&[u8]> = bytes.chunks(BLOCK_BYTES).collect();
            if let Some(block) = blocks.get_mut(short) {
                *block = &block[..block.len() / 3];
            }
            let key = IdKey([seed; 32]);
            let mut together = Vec::new();
            key.ids(blocks.iter().copied(), |id| together.push(id));
            let single: Vec<BlockId> = blocks.iter().map(|block| key.id(block)).collect();
            prop_assert_eq!(together, single);
        }
    }

    #[test]
    fn zeros_are_zero_and_nothing_else_is() {
        assert!(is_zero(&[0; 8192]));
        assert!(is_zero(&[0; 3]));
        for at in [0, 1, 100, 8191] {
            let mut block = [0; 8192];
            block[at] = 1;
            assert!(!is_zero(&block), "{at}");
        }
    }

    #[test]
    fn ids_depend_on_key_length_and_bytes() {
        let (a, b) = (IdKey([1; 32]), IdKey([2; 32]));
        assert_eq!(a.id(b"x"), a.id(b"x"));
        assert_ne!(a.id(b"x"), b.id(b"x"));
        assert_ne!(a.id(b"x"), a.id(b"x\0"));
    }
}
