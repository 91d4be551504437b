//! Over the beginning of a file that a server of 9.7.4 wrote: its head and 24 blocks, packed by zlib.
use std::io::Read;

use proptest::prelude::*;

use super::{block::check_block, *};

fn real() -> (FileHead, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(&include_bytes!("real.zz")[..]);
    reader.read_to_end(&mut bytes).expect("a fixture");
    let blocks = bytes.split_off(HEAD_BYTES);
    let head = FileHead::read(*bytes.as_array().expect("a head")).expect("it holds");
    (head, blocks)
}

/// The fixture's first place in the log.
const START: u64 = 21_856_256;
const BLOCK: u64 = BLOCK_BYTES as u64;

#[test]
fn a_real_file_holds() {
    let (head, blocks) = real();
    assert_eq!(head.start_lsn(), START);
    assert!(!head.is_full(), "it was the last one");
    assert_eq!(head.checkpoint(), Some(21_878_188), "the later of two");
    assert_eq!(
        whole_blocks(&blocks, START, u64::MAX),
        (24 * BLOCK_BYTES, None)
    );
    let (good, fault) = whole_blocks(&blocks, START + BLOCK, u64::MAX);
    assert_eq!((good, fault), (0, Some(BlockFault::Elsewhere)));
}

#[test]
fn what_is_behind_a_damaged_block_is_not_taken() {
    let (_, mut blocks) = real();
    blocks[7 * BLOCK_BYTES + 100] ^= 4;
    let found = whole_blocks(&blocks, START, u64::MAX);
    assert_eq!(found, (7 * BLOCK_BYTES, Some(BlockFault::Sum)));
}

/// A block with as many used bytes, of a place.
fn block(lsn: u64, used: u16) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let index = lsn / BLOCK;
    let number = u32::try_from(1 + index % (1 << 30)).expect("small");
    let epoch = u32::try_from(1 + index / (1 << 30)).expect("small");
    block[..4].copy_from_slice(&(number | 0x8000_0000).to_be_bytes());
    block[4..6].copy_from_slice(&used.to_be_bytes());
    block[8..12].copy_from_slice(&epoch.to_be_bytes());
    let sum = crc32c::crc32c(&block[..508]);
    block[508..].copy_from_slice(&sum.to_be_bytes());
    block
}

#[test]
fn the_last_block_must_reach_the_end() {
    for (end, expected) in [
        (START, Ok(())),
        (START + 200, Ok(())),
        (START + 201, Err(BlockFault::Short)),
        (START + 5 * BLOCK, Err(BlockFault::Short)),
    ] {
        assert_eq!(
            check_block(&block(START, 200), START, end),
            expected,
            "{end}"
        );
    }
    let encrypted = block(START, 0x8000 | 512);
    assert_eq!(
        check_block(&encrypted, START, START),
        Err(BlockFault::Encrypted)
    );
}

#[test]
fn numbers_begin_again_with_an_epoch() {
    let epoch = BLOCK << 30;
    for lsn in [0, epoch - BLOCK, epoch, 3 * epoch + BLOCK] {
        assert_eq!(
            check_block(&block(lsn, 512), lsn, u64::MAX),
            Ok(()),
            "{lsn}"
        );
        let later = check_block(&block(lsn, 512), lsn + epoch, u64::MAX);
        assert_eq!(later, Err(BlockFault::Elsewhere), "{lsn}");
    }
}

#[test]
fn a_place_needs_the_blocks_up_to_it() {
    for (lsn, end) in [
        (START, START),
        (START + 12, START),
        (START + 13, START + BLOCK),
        (START + 511, START + BLOCK),
        (START + BLOCK + 12, START + BLOCK),
    ] {
        assert_eq!(blocks_end(lsn), end, "{lsn}");
    }
}

#[test]
fn a_dump_has_a_head_of_its_own() {
    let (head, _) = real();
    let with = FileHead::read(head.in_dump(Some(START + 700), true)).expect("it holds");
    assert!(with.is_full() && with.checkpoint() == Some(START + 700));
    assert_eq!(with.start_lsn(), START);
    let without = FileHead::read(with.in_dump(None, false)).expect("it holds");
    assert!(!without.is_full() && without.checkpoint().is_none() && without.is_whole());
    let mut damaged = with.in_dump(Some(START + 700), true);
    damaged[520] ^= 1;
    let damaged = FileHead::read(damaged).expect("its first part holds");
    assert_eq!(damaged.checkpoint(), Some(START + 700), "there are two");
    assert!(!damaged.is_whole());
}

#[test]
fn files_that_no_dump_can_have_are_named() {
    let (head, _) = real();
    let change = |at: usize, word: u32| {
        let mut bytes = head.in_dump(None, false);
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        let sum = crc32c::crc32c(&bytes[..508]);
        bytes[508..512].copy_from_slice(&sum.to_be_bytes());
        FileHead::read(bytes)
    };
    assert_eq!(change(0, 5), Err(HeadFault::Format(5)));
    assert_eq!(change(0, 7), Err(HeadFault::Format(7)));
    for flag in [1, 2, 4] {
        assert_eq!(change(48, flag), Err(HeadFault::Unusable), "{flag}");
    }
    assert_eq!(change(1100, 1), Err(HeadFault::Encrypted));
    assert_eq!(change(12, 77), Err(HeadFault::Place));
    assert_eq!(FileHead::read([0; HEAD_BYTES]), Err(HeadFault::Sum));
}

#[test]
fn names_are_read_as_they_are_written() {
    assert_eq!(judge_name(&file_name(0)), Named::File(0));
    assert_eq!(judge_name("#ib_redo84"), Named::File(84));
    assert_eq!(judge_name("#ib_redo85_tmp"), Named::Spare);
    for other in [
        "#ib_redo",
        "#ib_redo084",
        "#ib_redo-1",
        "#ib_redo+1",
        "#ib_redo1x",
        "ib_redo1",
        "#ib_redo_tmp",
        "#ib_redo99999999999999999999",
    ] {
        assert_eq!(judge_name(other), Named::Other, "{other}");
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_of_a_block_is_seen(at in 0_usize..24 * BLOCK_BYTES, bit in 0_u8..8) {
        let (_, mut blocks) = real();
        blocks[at] ^= 1 << bit;
        let (good, fault) = whole_blocks(&blocks, START, u64::MAX);
        prop_assert_eq!(good, at / BLOCK_BYTES * BLOCK_BYTES);
        prop_assert!(fault.is_some());
    }

    #[test]
    fn a_flipped_bit_of_a_head_is_seen(at in 0_usize..512, bit in 0_u8..8) {
        let (head, _) = real();
        let mut bytes = head.in_dump(Some(START), false);
        bytes[at] ^= 1 << bit;
        prop_assert!(FileHead::read(bytes).is_err());
    }
}
