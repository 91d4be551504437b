//! Which pages a writer has checked before it stores their blocks, and what a check may say.
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
};

use model::{
    Hash, VolumeRef,
    pages::{ChangeToken, Content, PageCheck, Pages},
};
use vault::{
    Base, Condemned, DataKey, Extent, ReadFrom, Reencrypt, ReencryptKeys, Sealing, Unobserved,
    VaultError,
};

use crate::world::{Files, Watch, World, key, pages, touch, volume};

/// Content that notes which of its pages are checked, and says and does there what it is told to.
struct Judged {
    bytes: Vec<u8>,
    page_bytes: usize,
    change_token: Option<ChangeToken>,
    /// By page: what a check finds, and the first byte that it puts into the page.
    verdicts: BTreeMap<u64, (PageCheck, u8)>,
    seen: Mutex<BTreeSet<u64>>,
}

impl Default for Judged {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            page_bytes: 8192,
            change_token: None,
            verdicts: BTreeMap::new(),
            seen: Mutex::default(),
        }
    }
}

impl Content for Judged {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.bytes.read_at(buffer, offset)
    }
    fn pages(&self) -> Option<&dyn Pages> {
        Some(self)
    }
    fn change_token(&self) -> Option<ChangeToken> {
        self.change_token
    }
}

impl Pages for Judged {
    fn page_bytes(&self) -> usize {
        self.page_bytes
    }
    fn check(&self, page: &mut [u8], offset: u64) -> io::Result<PageCheck> {
        assert_eq!(page.len(), self.page_bytes, "a whole page");
        assert_eq!(offset % self.page_bytes as u64, 0);
        let number = offset / self.page_bytes as u64;
        assert!(self.seen.lock().unwrap().insert(number), "{number} twice");
        let Some((checked, byte)) = self.verdicts.get(&number) else {
            return Ok(PageCheck::Ok);
        };
        match byte {
            0 => page.fill(0),
            byte => page[0] = *byte,
        }
        Ok(*checked)
    }
}

/// Writes one file and gives the pages that were checked.
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
fn pages_are_checked_when_they_are_stored_and_zeros_never() {
    let world = World::new();
    let mut bytes = sample();
    let plain = |bytes: &[u8]| Judged {
        bytes: bytes.to_vec(),
        ..Judged::default()
    };
    let (first, seen) = write(&world, plain(&bytes), None);
    // Every seventh page is zero, and the last bytes are no page.
    let expected: Vec<u64> = (0..4096 + 20).filter(|number| number % 7 != 6).collect();
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
fn a_page_that_was_read_again_is_stored_as_it_is_then() {
    let world = World::new();
    let bytes = sample();
    let verdicts = [
        (3, (PageCheck::Reread, 99)),
        (5, (PageCheck::Reread, 0)),
        (4114, (PageCheck::Torn, 98)),
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
    changed[4114 * 8192] = 98;
    holds(&world, first, changed);
}

/// What a copy sealed anew is the base of must be checked again, too.
fn reencrypted(world: &World, manifest: Hash, into: &VolumeRef) -> Hash {
    let _entered = world.runtime.enter();
    let none = Condemned::new();
    let job = Reencrypt {
        from: ReadFrom::Vault(&world.vault, &none),
        origin: &world.volume,
        manifest,
        keys: Some(ReencryptKeys {
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
    let copy = vault::reencrypt(job, &Unobserved, &|_| true).unwrap();
    copy.manifest
}

#[test]
fn a_torn_page_is_checked_again_though_it_is_equal_and_its_file_has_a_change_token() {
    let mut world = World::new();
    let bytes = sample();
    let judged = |verdicts: &[(u64, (PageCheck, u8))]| Judged {
        bytes: bytes.clone(),
        change_token: Some([1; 16]),
        verdicts: verdicts.iter().copied().collect(),
        ..Judged::default()
    };
    let torn = [2, 4100].map(|number| {
        let byte = bytes[number as usize * 8192];
        (number, (PageCheck::Torn, byte))
    });
    let (first, _) = write(&world, judged(&torn), None);
    let (second, seen) = write(&world, judged(&torn[1..]), Some((first, key(1))));
    assert_eq!(seen, [2, 4100], "both were torn");
    let (third, seen) = write(&world, judged(&[]), Some((second, key(1))));
    assert_eq!(seen, [4100], "the other was good by then");
    let (fourth, seen) = write(&world, judged(&[]), Some((third, key(1))));
    assert_eq!(seen, [0; 0]);
    holds(&world, fourth, bytes.clone());

    let there = volume(9);
    let copy = reencrypted(&world, first, &there);
    world.volume = there;
    let (_, seen) = write(&world, judged(&[]), Some((copy, key(2))));
    assert_eq!(seen, [2, 4100], "a copy sealed anew knows them");
}

/// Pages of which each block holds a byte of its own, the third page nothing.
fn numbered(page_bytes: usize, pages: usize) -> Vec<u8> {
    let mut bytes = vec![0; page_bytes * pages];
    for (number, part) in (1..).zip(bytes.chunks_mut(page_bytes.min(8192))) {
        part.fill(u8::try_from(number % 250).unwrap() + 1);
    }
    bytes[2 * page_bytes..3 * page_bytes].fill(0);
    bytes
}

#[test]
fn a_page_is_checked_as_one_whatever_blocks_it_lies_in() {
    for page_bytes in [4096, 8192, 16384, 32768] {
        let world = World::new();
        let mut bytes = numbered(page_bytes, 40);
        let judged = |bytes: &[u8], verdicts: &[(u64, (PageCheck, u8))]| Judged {
            bytes: bytes.to_vec(),
            page_bytes,
            verdicts: verdicts.iter().copied().collect(),
            ..Judged::default()
        };
        let (first, seen) = write(&world, judged(&bytes, &[]), None);
        // A block that is not all zero may have a page of zeros.
        let zero = |page: &u64| *page != 2 || page_bytes < 8192;
        assert_eq!(
            seen,
            (0..40).filter(zero).collect::<Vec<_>>(),
            "{page_bytes}"
        );

        // The last byte of one page changes, and the first one of another, which is then zero but
        // for that.
        bytes[10 * page_bytes - 1] = 1;
        bytes[2 * page_bytes] = 1;
        let (second, seen) = write(&world, judged(&bytes, &[]), Some((first, key(1))));
        let expected: &[u64] = match page_bytes {
            // Their blocks' other pages come along.
            4096 => &[2, 3, 8, 9],
            _ => &[2, 9],
        };
        assert_eq!(seen, expected, "{page_bytes}");
        holds(&world, second, bytes.clone());

        // A page that is read again is stored as it is then, in all of its blocks.
        bytes[10 * page_bytes - 1] = 2;
        let again = [(9, (PageCheck::Reread, 77))];
        let (third, _) = write(&world, judged(&bytes, &again), Some((second, key(1))));
        bytes[9 * page_bytes] = 77;
        holds(&world, third, bytes.clone());

        // And a torn one is checked again, though it is equal.
        bytes[10 * page_bytes - 1] = 3;
        let torn = [(9, (PageCheck::Torn, 78))];
        let (fourth, _) = write(&world, judged(&bytes, &torn), Some((third, key(1))));
        bytes[9 * page_bytes] = 78;
        let (fifth, seen) = write(&world, judged(&bytes, &[]), Some((fourth, key(1))));
        assert!(seen.contains(&9), "{page_bytes}: {seen:?}");
        let (_, seen) = write(&world, judged(&bytes, &[]), Some((fifth, key(1))));
        assert_eq!(seen, [0; 0], "{page_bytes}");
        holds(&world, fifth, bytes);
    }
}

#[test]
fn half_a_page_that_became_zero_is_checked_with_its_other_half() {
    let world = World::new();
    let mut bytes = numbered(16384, 8);
    let judged = |bytes: &[u8]| Judged {
        bytes: bytes.to_vec(),
        page_bytes: 16384,
        ..Judged::default()
    };
    let (first, _) = write(&world, judged(&bytes), None);
    bytes[5 * 16384..5 * 16384 + 8192].fill(0);
    let (second, seen) = write(&world, judged(&bytes), Some((first, key(1))));
    assert_eq!(seen, [5]);
    holds(&world, second, bytes);
}

#[test]
fn a_file_whose_pages_cannot_be_checked_is_refused() {
    let world = World::new();
    for page_bytes in [0, 3000, 12_288, 24_576, 1 << 20] {
        let watch = Arc::new(Watch::default());
        let mut writer = world.begin(Sealing::Sealed(key(1)), None, &watch).unwrap();
        let content = Judged {
            bytes: vec![1; 1 << 20],
            page_bytes,
            ..Judged::default()
        };
        let refused = writer.file("f", 0o600, Arc::new(content)).unwrap_err();
        assert!(matches!(refused, VaultError::PageSize { .. }), "{refused}");
    }
}
