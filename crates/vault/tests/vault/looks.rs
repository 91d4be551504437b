//! Which blocks a writer has looked at before it stores them, and what a look may say.
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
};

use model::{Hash, VolumeRef};
use vault::{
    Base, Condemned, Content, DataKey, Evidence, Extent, Looked, ReadFrom, Reseal, ResealKeys,
    Sealing, Unobserved,
};

use crate::world::{Files, Watch, World, key, pages, touch, volume};

const BLOCK: u64 = 8192;

/// Content that notes where it is looked at, and says and does there what it is told to.
#[derive(Default)]
struct Judged {
    bytes: Vec<u8>,
    evidence: Option<Evidence>,
    /// By block: what a look finds, and the first byte that it puts into the block.
    verdicts: BTreeMap<u64, (Looked, u8)>,
    seen: Mutex<BTreeSet<u64>>,
}

impl Content for Judged {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.bytes.read_at(buffer, offset)
    }
    fn check(&self, block: &mut [u8], offset: u64) -> io::Result<Looked> {
        assert_eq!(offset % BLOCK, 0);
        let number = offset / BLOCK;
        assert!(self.seen.lock().unwrap().insert(number), "{number} twice");
        let Some((looked, byte)) = self.verdicts.get(&number) else {
            return Ok(Looked::Good);
        };
        match byte {
            0 => block.fill(0),
            byte => block[0] = *byte,
        }
        Ok(*looked)
    }
    fn evidence(&self) -> Option<Evidence> {
        self.evidence
    }
}

/// Writes one file and gives the blocks that were looked at.
fn write(world: &World, content: Judged, base: Option<(Hash, DataKey)>) -> (Hash, Vec<u64>) {
    let data_key = base.as_ref().map_or(key(1), |(_, key)| key.clone());
    let base = base.map(|(manifest, key)| Base {
        manifest,
        data_key: Some(key),
    });
    let watch = Arc::new(Watch::default());
    let mut writer = world
        .begin(Sealing::Sealed(data_key), base, &watch)
        .unwrap();
    let _entered = world.runtime.enter();
    let content = Arc::new(content);
    writer.file("f", 0o600, Arc::clone(&content) as _).unwrap();
    let written = writer.finish("{\"files\":1}".to_owned()).unwrap();
    let seen = content.seen.lock().unwrap().iter().copied().collect();
    (written.manifest, seen)
}

fn holds(world: &World, manifest: Hash, bytes: Vec<u8>) {
    let files = Files::from([("f".to_owned(), bytes)]);
    world.check(&world.vault, manifest, Some(&key(1)), &files);
}

/// Two segments, the last block of the file short.
fn sample() -> Vec<u8> {
    pages(1, (32 << 20) + 20 * 8192 + 100)
}

#[test]
fn blocks_are_looked_at_when_they_are_stored_and_zeros_never() {
    let world = World::new();
    let mut bytes = sample();
    let plain = |bytes: &[u8]| Judged {
        bytes: bytes.to_vec(),
        ..Judged::default()
    };
    let (first, seen) = write(&world, plain(&bytes), None);
    // Every seventh page is zero.
    let expected: Vec<u64> = (0..4096 + 21).filter(|number| number % 7 != 6).collect();
    assert_eq!(seen, expected);
    let (again, seen) = write(&world, plain(&bytes), Some((first, key(1))));
    assert_eq!(seen, [0; 0]);
    touch(&mut bytes[4100 * 8192..], 9);
    bytes[6 * 8192] = 1;
    let (next, seen) = write(&world, plain(&bytes), Some((again, key(1))));
    assert_eq!(seen, [6, 4100, 4109]);
    holds(&world, next, bytes);
}

#[test]
fn a_block_that_was_read_again_is_stored_as_it_is_then() {
    let world = World::new();
    let bytes = sample();
    let verdicts = [
        (3, (Looked::ReadAgain, 99)),
        (5, (Looked::ReadAgain, 0)),
        (4116, (Looked::Doubtful, 98)),
    ];
    let content = Judged {
        bytes: bytes.clone(),
        verdicts: verdicts.into(),
        ..Judged::default()
    };
    let (first, _) = write(&world, content, None);
    let mut changed = bytes;
    changed[3 * 8192] = 99;
    changed[5 * 8192..6 * 8192].fill(0);
    changed[4116 * 8192] = 98;
    holds(&world, first, changed);
}

/// What a copy sealed anew is the base of must be looked at again, too.
fn sealed_anew(world: &World, manifest: Hash, into: &VolumeRef) -> Hash {
    let _entered = world.runtime.enter();
    let none = Condemned::new();
    let job = Reseal {
        from: ReadFrom::Vault(&world.vault, &none),
        origin: &world.volume,
        manifest,
        keys: Some(ResealKeys {
            old: &key(1),
            fresh: &key(2),
        }),
        to: &world.vault,
        volume: into,
        condemned_there: &none,
        base: None,
        checkpoint: None,
        extent: Extent::Frames,
        throttle: None,
    };
    let copy = vault::reseal(job, &Unobserved, &|_| true).unwrap();
    copy.manifest
}

#[test]
fn a_doubtful_block_is_looked_at_again_though_it_is_equal_and_its_file_has_evidence() {
    let mut world = World::new();
    let bytes = sample();
    let judged = |verdicts: &[(u64, (Looked, u8))]| Judged {
        bytes: bytes.clone(),
        evidence: Some([1; 16]),
        verdicts: verdicts.iter().copied().collect(),
        ..Judged::default()
    };
    let doubtful = [2, 4100].map(|number| {
        let byte = bytes[number as usize * 8192];
        (number, (Looked::Doubtful, byte))
    });
    let (first, _) = write(&world, judged(&doubtful), None);
    let (second, seen) = write(&world, judged(&doubtful[1..]), Some((first, key(1))));
    assert_eq!(seen, [2, 4100], "both were doubtful");
    let (third, seen) = write(&world, judged(&[]), Some((second, key(1))));
    assert_eq!(seen, [4100], "the other was good by then");
    let (fourth, seen) = write(&world, judged(&[]), Some((third, key(1))));
    assert_eq!(seen, [0; 0]);
    holds(&world, fourth, bytes.clone());

    let there = volume(9);
    let copy = sealed_anew(&world, first, &there);
    world.volume = there;
    let (_, seen) = write(&world, judged(&[]), Some((copy, key(2))));
    assert_eq!(seen, [2, 4100], "a copy sealed anew knows them");
}
