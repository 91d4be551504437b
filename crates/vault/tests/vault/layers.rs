//! Block lists as patches upon each other, files that are not read, sparse packs, and several
//! threads at once.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use model::{
    cluster::Change,
    pages::{ChangeToken, Content},
};
use vault::{Base, ObjectKind, Sealing, VaultError, Written};

use crate::world::{Files, Watch, World, key, pages, sealed, small_tree, touch};

const THREADS: usize = 256 << 20;

fn one_file(content: Vec<u8>) -> Files {
    Files::from([("base/1/2".to_owned(), content)])
}

fn list_bytes(world: &World) -> u64 {
    let objects = world.objects(&world.vault);
    let lists = objects.iter().filter(|o| o.kind == ObjectKind::List);
    lists.map(|o| o.size).sum()
}

/// Changes pages that a counter picks all over the content.
fn scatter(content: &mut [u8], seed: u64, count: u64) {
    let blocks = content.len() as u64 / 8192;
    for number in 0..count {
        let hash = blake3::hash(&[seed.to_le_bytes(), number.to_le_bytes()].concat());
        let at = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % blocks;
        content[usize::try_from(at * 8192).unwrap() + 9] ^= 1 + u8::try_from(seed % 200).unwrap();
    }
}

#[test]
fn lists_grow_with_the_change_through_many_snapshots() {
    let world = World::new();
    // Two segments and a bit, so that a segment of few blocks is there, too.
    let mut content = pages(1, (33 << 20) + (5 << 13));
    let mut base = world.write(&one_file(content.clone()), sealed(), None);
    let whole = list_bytes(&world);
    for round in 1..=18 {
        scatter(&mut content, round, 40);
        let before = list_bytes(&world);
        base = world.write(&one_file(content.clone()), sealed(), Some(&base));
        // 40 entries of 22 bytes in 2 segments; now and then patches are put together.
        let new = list_bytes(&world) - before;
        assert!(new < whole / 4, "round {round}: {new} bytes of {whole}");
        if round % 9 == 0 {
            world.check(
                &world.vault,
                base.manifest,
                Some(&key(1)),
                &one_file(content.clone()),
            );
        }
    }
    let all = list_bytes(&world) - whole;
    assert!(
        all < 3 * whole,
        "{all} bytes of patches, {whole} of the first lists"
    );
}

#[test]
fn patched_files_may_grow_shrink_and_turn_to_zeros() {
    let world = World::new();
    let mut content = pages(1, 40 << 20);
    let mut base = world.write(&one_file(content.clone()), sealed(), None);
    let sizes = [
        41_usize << 20,
        (38 << 20) + 100,
        33 << 20,
        32 << 20,
        45 << 20,
    ];
    for (round, size) in (1..).zip(sizes) {
        let old = content.len();
        content.resize(size, 0);
        if old < size {
            scatter(&mut content[old & !8191..], 77, 40);
        }
        scatter(&mut content, round, 30);
        content[8192 * 50..8192 * 53].fill(0);
        base = world.write(&one_file(content.clone()), sealed(), Some(&base));
        world.check(
            &world.vault,
            base.manifest,
            Some(&key(1)),
            &one_file(content.clone()),
        );
    }
}

#[test]
fn several_threads_write_what_one_does() {
    let mut world = World::new();
    world.memory_bytes = THREADS;
    let mut files = small_tree();
    for number in 0..300 {
        files.insert(
            format!("base/1/{number}"),
            pages(number, 8192 * (number as usize % 5) + 3),
        );
    }
    files.insert("base/1/large".to_owned(), pages(9, 70 << 20));
    let first = world.write(&files, sealed(), None);
    world.check(&world.vault, first.manifest, Some(&key(1)), &files);
    let again = world.write(&files, sealed(), Some(&first));
    assert_eq!(again.new_objects, 1, "{again:?}");
    let of = files.values().map(|file| file.len().div_ceil(8192) as u64);
    let of = of.sum();
    assert_eq!(first.change, None);
    assert_eq!(again.change, Some(Change { blocks: 0, of }));
    scatter(files.get_mut("base/1/large").unwrap(), 3, 100);
    touch(files.get_mut("base/1/77").unwrap(), 1);
    let next = world.write(&files, sealed(), Some(&again));
    assert!(next.new_bytes < 104 * 8192, "{next:?}");
    let change = next.change.expect("there is a base");
    assert!(
        // The small file's three blocks lie in one piece.
        (2..=103).contains(&change.blocks) && change.of == of,
        "{change:?}"
    );
    // What is gone counts as well.
    let mut fewer = files.clone();
    let large = fewer.remove("base/1/large").expect("it is there").len() as u64 / 8192;
    let change = world.write(&fewer, sealed(), Some(&next)).change;
    assert_eq!(change, Some(Change { blocks: large, of }));
    world.check(&world.vault, next.manifest, Some(&key(1)), &files);
    world.check(&world.vault, first.manifest.to_owned(), Some(&key(1)), &{
        let mut old = files.clone();
        scatter(old.get_mut("base/1/large").unwrap(), 3, 100);
        old.insert("base/1/77".to_owned(), pages(77, 8192 * 2 + 3));
        old
    });
}

/// Content with a change token, which counts the bytes that are read.
struct Known {
    bytes: Vec<u8>,
    change_token: Option<ChangeToken>,
    read: Arc<AtomicU64>,
}

impl Content for Known {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let count = self.bytes.read_at(buffer, offset)?;
        self.read.fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }
    fn change_token(&self) -> Option<ChangeToken> {
        self.change_token
    }
}

/// Writes one file and gives how many bytes of it were read.
fn write_known(
    world: &World,
    bytes: &[u8],
    change_token: Option<ChangeToken>,
    base: Option<&Written>,
) -> (Written, u64) {
    let base = base.map(|base| Base {
        manifest: base.manifest,
        data_key: Some(key(1)),
    });
    let mut writer = world
        .begin(sealed(), base, &Arc::new(Watch::default()))
        .unwrap();
    let _entered = world.runtime.enter();
    let read = Arc::new(AtomicU64::new(0));
    let content = Known {
        bytes: bytes.to_vec(),
        change_token,
        read: Arc::clone(&read),
    };
    writer.file("f", 0o600, Arc::new(content)).unwrap();
    let written = writer.finish("{\"files\":1}".to_owned()).unwrap();
    (written, read.load(Ordering::SeqCst))
}

#[test]
fn a_file_is_left_unread_only_when_change_token_and_size_are_equal() {
    let world = World::new();
    let mut bytes = pages(1, 34 << 20);
    let size = bytes.len() as u64;
    let (first, read) = write_known(&world, &bytes, Some([1; 16]), None);
    assert_eq!(read, size);
    let (second, read) = write_known(&world, &bytes, Some([1; 16]), Some(&first));
    assert_eq!((read, second.new_objects), (0, 1));
    // What it says is kept from snapshot to snapshot.
    let (third, read) = write_known(&world, &bytes, Some([1; 16]), Some(&second));
    assert_eq!((read, third.logical_bytes), (0, size));
    let files = Files::from([("f".to_owned(), bytes.clone())]);
    world.check(&world.vault, third.manifest, Some(&key(1)), &files);
    for change_token in [Some([2; 16]), None] {
        let (_, read) = write_known(&world, &bytes, change_token, Some(&third));
        assert_eq!(read, size, "{change_token:?}");
    }
    let (none, _) = write_known(&world, &bytes, None, Some(&third));
    let (_, read) = write_known(&world, &bytes, Some([1; 16]), Some(&none));
    assert_eq!(read, size, "a base without a token proves nothing");
    bytes.push(1);
    let (_, read) = write_known(&world, &bytes, Some([1; 16]), Some(&third));
    assert_eq!(read, size + 1);
}

#[test]
fn an_unread_file_is_read_when_a_pack_of_it_is_gone() {
    let mut world = World::new();
    let bytes = pages(1, 40 << 20);
    let (first, _) = write_known(&world, &bytes, Some([1; 16]), None);
    let pack = world.objects(&world.vault);
    let pack = pack.iter().find(|o| o.kind == ObjectKind::Pack).unwrap();
    world.condemned.insert(pack.path.clone());
    let (second, read) = write_known(&world, &bytes, Some([1; 16]), Some(&first));
    assert!(0 < read, "what lay in the pack is written anew");
    let files = Files::from([("f".to_owned(), bytes)]);
    world.check(&world.vault, second.manifest, Some(&key(1)), &files);
}

#[test]
fn packs_that_became_sparse_are_left_behind() {
    let world = World::new();
    let mut content = pages(1, 8 << 20);
    let first = world.write(&one_file(content.clone()), sealed(), None);
    let live = first.stored_bytes;
    let mut base = first;
    let mut most = 0;
    for round in 1..=36 {
        scatter(&mut content, round, 40);
        base = world.write(&one_file(content.clone()), sealed(), Some(&base));
        most = most.max(base.stored_bytes * 100 / live);
    }
    world.check(
        &world.vault,
        base.manifest,
        Some(&key(1)),
        &one_file(content),
    );
    // 1,440 changes in 1,024 blocks: without renewal, sparse packs would add up to several
    // times the live bytes.
    assert!(most < 220, "a snapshot reached {most} % of its live bytes");
}

#[test]
fn a_stop_is_heard_by_every_thread() {
    let mut world = World::new();
    world.memory_bytes = THREADS;
    let watch = Arc::new(Watch::stopping_at(10 << 20));
    let mut writer = world.begin(Sealing::Open, None, &watch).unwrap();
    let _entered = world.runtime.enter();
    writer
        .file("f", 0o600, Arc::new(pages(1, 100 << 20)))
        .unwrap();
    assert!(matches!(writer.settle(), Err(VaultError::Stopped)));
    assert!(watch.done.load(Ordering::SeqCst) < 20 << 20);
}
