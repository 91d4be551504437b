//! Keyed BLAKE3 hashes of many blocks at once, side by side.
//!
//! It does not know what the hashes are for. BLAKE3 cuts its input into chunks of 1 KiB, hashes
//! as many at once as the processor has lanes, and then their tree. A block has eight chunks;
//! processors have up to sixteen lanes, and a tree of eight leaves hardly fills any. So the same
//! chunk of sixteen blocks goes through together, and so does each level of their trees: the
//! hashes are BLAKE3's own, in two thirds of the time (docs/benchmarks/profile.md).
//!
//! The crate shows its lanes only through a module that it does not document and may change in
//! any release; so Cargo.toml names one release, and tests compare every kind of lanes with the
//! documented function.
use blake3::{
    CHUNK_LEN, IncrementCounter, OUT_LEN,
    platform::{Platform, words_from_le_bytes_32},
};
use zeroize::Zeroize;

use crate::format::head::BLOCK_BYTES;

/// Blocks that are hashed at once: the most lanes that any processor has.
pub(crate) const SIDE_BY_SIDE: usize = 16;

const CHUNKS: usize = BLOCK_BYTES / CHUNK_LEN;
/// Marks of the specification, section 2.2: what a compression is part of.
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const ROOT: u8 = 1 << 3;
const KEYED: u8 = 1 << 4;

const _: () = assert!(CHUNKS.is_power_of_two() && 1 < CHUNKS);

type Hash = [u8; OUT_LEN];

/// What [`blake3::keyed_hash`] says of each block.
pub(crate) fn side_by_side(
    key: &[u8; 32],
    blocks: &[&[u8; BLOCK_BYTES]; SIDE_BY_SIDE],
) -> [Hash; SIDE_BY_SIDE] {
    hash_with(Platform::detect(), key, blocks)
}

fn hash_with(
    lanes: Platform,
    key: &[u8; 32],
    blocks: &[&[u8; BLOCK_BYTES]; SIDE_BY_SIDE],
) -> [Hash; SIDE_BY_SIDE] {
    let mut key = words_from_le_bytes_32(key);
    // Those of one block lie together, the first one first.
    let mut nodes = [[0; OUT_LEN]; SIDE_BY_SIDE * CHUNKS];
    let mut made = [[0; OUT_LEN]; SIDE_BY_SIDE * CHUNKS / 2];
    for chunk in 0..CHUNKS {
        let chunks: [&[u8; CHUNK_LEN]; SIDE_BY_SIDE] = blocks.map(|block| {
            let rest = block[chunk * CHUNK_LEN..].first_chunk();
            rest.expect("a block has whole chunks")
        });
        lanes.hash_many(
            &chunks,
            &key,
            chunk as u64,
            IncrementCounter::No,
            KEYED,
            CHUNK_START,
            CHUNK_END,
            made[..SIDE_BY_SIDE].as_flattened_mut(),
        );
        for (block, node) in made[..SIDE_BY_SIDE].iter().enumerate() {
            nodes[block * CHUNKS + chunk] = *node;
        }
    }
    let mut width = CHUNKS;
    while 1 < width {
        let (pairs, _) = nodes[..SIDE_BY_SIDE * width].as_flattened().as_chunks();
        let mut parents: [&[u8; 2 * OUT_LEN]; SIDE_BY_SIDE * CHUNKS / 2] =
            [&pairs[0]; SIDE_BY_SIDE * CHUNKS / 2];
        parents
            .iter_mut()
            .zip(pairs)
            .for_each(|(to, pair)| *to = pair);
        width /= 2;
        let made = &mut made[..SIDE_BY_SIDE * width];
        let root = if width == 1 { ROOT } else { 0 };
        lanes.hash_many(
            &parents[..made.len()],
            &key,
            0,
            IncrementCounter::No,
            KEYED | PARENT | root,
            0,
            0,
            made.as_flattened_mut(),
        );
        nodes[..made.len()].copy_from_slice(made);
    }
    key.zeroize();
    *nodes.first_chunk().expect("one for each block is left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_documented_function_with_any_lanes() {
        let bytes: Vec<u8> = (0..SIDE_BY_SIDE * BLOCK_BYTES)
            .map(|at| (at * 7 / 113) as u8)
            .collect();
        let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
        let blocks: [&[u8; BLOCK_BYTES]; SIDE_BY_SIDE] = std::array::from_fn(|at| &blocks[at]);
        let key: [u8; 32] = std::array::from_fn(|at| at as u8);
        let expected = blocks.map(|block| *blake3::keyed_hash(&key, block).as_bytes());
        let here = [Some(Platform::detect()), Some(Platform::portable())];
        #[cfg(target_arch = "x86_64")]
        let more = [Platform::sse2(), Platform::sse41(), Platform::avx2()];
        #[cfg(not(target_arch = "x86_64"))]
        let more = [];
        for lanes in here.into_iter().chain(more).flatten() {
            assert!(hash_with(lanes, &key, &blocks) == expected, "{lanes:?}");
        }
    }
}
