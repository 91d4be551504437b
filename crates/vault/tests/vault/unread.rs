//! Pages that a file knows to be as in the base are not read, and nothing else comes from there.
use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use model::{
    Hash,
    pages::{Content, PageCheck, Pages, SinceBase},
};
use vault::Base;

use crate::world::{Files, Watch, World, key, pages, sealed};

const PAGE: usize = 8192;

/// A file that says of pages what it is told to.
struct Told {
    bytes: Vec<u8>,
    same: BTreeSet<u64>,
    how: SinceBase,
    read: AtomicU64,
    contradicted: Mutex<BTreeSet<u64>>,
}

impl Content for Told {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        assert_eq!(offset % PAGE as u64, 0);
        let count = self.bytes.read_at(buffer, offset)?;
        self.read.fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }
    fn pages(&self) -> Option<&dyn Pages> {
        Some(self)
    }
}

impl Pages for Told {
    fn page_bytes(&self) -> usize {
        PAGE
    }
    fn check(&self, _: &mut [u8], _: u64) -> io::Result<PageCheck> {
        Ok(PageCheck::Ok)
    }
    fn since_base(&self, offset: u64) -> SinceBase {
        match self.same.contains(&(offset / PAGE as u64)) {
            true => self.how,
            false => SinceBase::Unknown,
        }
    }
    fn contradict(&self, offset: u64) {
        let mut all = self.contradicted.lock().unwrap();
        assert!(all.insert(offset / PAGE as u64), "once");
    }
}

fn told(bytes: &[u8], how: SinceBase, same: impl IntoIterator<Item = u64>) -> Told {
    Told {
        bytes: bytes.to_vec(),
        same: same.into_iter().collect(),
        how,
        read: AtomicU64::new(0),
        contradicted: Mutex::default(),
    }
}

/// Writes one file; gives the snapshot and the file.
fn write(world: &World, content: Told, base: Option<Hash>) -> (Hash, Arc<Told>) {
    let base = base.map(|manifest| Base {
        manifest,
        data_key: Some(key(1)),
    });
    let watch = Arc::new(Watch::default());
    let has_base = base.is_some();
    let mut writer = world.begin(sealed(), base, &watch).unwrap();
    assert_eq!(
        writer.base_document(),
        has_base.then_some("{\"files\":1}"),
        "of the base, and of no other"
    );
    let _entered = world.runtime.enter();
    let content = Arc::new(content);
    writer.file("f", 0o600, Arc::clone(&content) as _).unwrap();
    let written = writer.finish("{\"files\":1}".to_owned()).unwrap();
    (written.manifest, content)
}

fn holds(world: &World, manifest: Hash, bytes: &[u8]) {
    let files = Files::from([("f".to_owned(), bytes.to_vec())]);
    world.check(&world.vault, manifest, Some(&key(1)), &files);
}

/// Two segments, every seventh page of zeros, the last one short.
fn sample() -> Vec<u8> {
    pages(1, (32 << 20) + 20 * PAGE + 100)
}

#[test]
fn what_is_the_same_is_not_read() {
    let world = World::new();
    let bytes = sample();
    let all = || 0..5000;
    let (base, first) = write(&world, told(&bytes, SinceBase::Same, all()), None);
    assert_eq!(first.read.load(Ordering::SeqCst), bytes.len() as u64);
    // What the disk has at pages that are the same is nobody's concern.
    let mut disk = bytes.clone();
    disk[PAGE] ^= 1;
    disk[4099 * PAGE] ^= 1;
    let (next, second) = write(&world, told(&disk, SinceBase::Same, all()), Some(base));
    holds(&world, next, &bytes);
    let zeros = (0..4096 + 20).filter(|page| page % 7 == 6).count();
    let read = second.read.load(Ordering::SeqCst);
    assert_eq!(read, (zeros * PAGE + 100) as u64, "zeros and the short end");
    // The base's end was within what is a whole page now.
    disk.copy_from_slice(&bytes);
    disk.resize(disk.len() + 3 * PAGE, 5);
    let (grown, _) = write(&world, told(&disk, SinceBase::Same, all()), Some(next));
    holds(&world, grown, &disk);
    disk.truncate((31 << 20) + 7);
    let (cut, _) = write(&world, told(&disk, SinceBase::Same, all()), Some(grown));
    holds(&world, cut, &disk);
}

#[test]
fn through_any_changes_a_snapshot_has_what_is_on_the_disk() {
    let world = World::new();
    let mut disk = sample();
    let (mut base, _) = write(&world, told(&disk, SinceBase::Same, []), None);
    for round in 0..12_u64 {
        let pages = disk.len() as u64 / PAGE as u64;
        let mut same: BTreeSet<u64> = (0..pages).collect();
        let mut known = pages;
        for number in 0..round * round * 9 {
            let hash = blake3::hash(&[round, number].map(u64::to_le_bytes).concat());
            let draw = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
            let page = draw % pages;
            let at = usize::try_from(page).unwrap() * PAGE;
            known -= u64::from(same.remove(&page));
            match draw >> 60 {
                0..=3 => {}
                4 => disk[at..at + PAGE].fill(0),
                _ => disk[at + 77] ^= 3,
            }
        }
        let (next, content) = write(&world, told(&disk, SinceBase::Same, same), Some(base));
        let read = content.read.load(Ordering::SeqCst);
        let zeros_and_rest = disk.len() as u64 / 7 + 3 * PAGE as u64;
        // Blocks that an earlier round laid down in a pack that became sparse are written anew.
        let most = (pages - known) * PAGE as u64 + zeros_and_rest + (9 << 20);
        assert!(read <= most, "round {round}: {read} of {most}");
        base = next;
        if round % 4 == 3 {
            holds(&world, base, &disk);
        }
    }
}

#[test]
fn what_is_said_to_be_the_same_is_read_and_compared() {
    let world = World::new();
    let bytes = sample();
    let said = || (0..5000).filter(|page| page % 2 == 1);
    let (base, first) = write(&world, told(&bytes, SinceBase::SaidSame, said()), None);
    assert!(first.contradicted.lock().unwrap().is_empty(), "no base");
    let mut disk = bytes.clone();
    for page in [0, 1, 6, 8, 13, 4099, 4103, 4113] {
        disk[page * PAGE + 5] ^= 1;
    }
    disk[9 * PAGE..10 * PAGE].fill(0);
    let (next, second) = write(&world, told(&disk, SinceBase::SaidSame, said()), Some(base));
    holds(&world, next, &disk);
    assert_eq!(second.read.load(Ordering::SeqCst), disk.len() as u64);
    // 13 was of zeros.
    let contradicted = second.contradicted.lock().unwrap();
    assert_eq!(*contradicted, BTreeSet::from([1, 9, 4099, 4103, 4113]));
}
