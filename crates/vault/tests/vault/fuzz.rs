//! Random damage to what is kept: always a named error, or the right bytes; never a panic, and
//! never more memory than the objects' own bounds.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use model::ErrorKind;
use model::Hash;
use proptest::{prelude::*, sample::Index};
use vault::{DataKey, ObjectEntry, ObjectKind, Sealing, VaultError, Written};

use crate::world::{Files, Watch, World, key, pages, sealed, touch};

/// A vault with two snapshots, the second built on the first.
struct Kept {
    world: World,
    data_key: Option<DataKey>,
    snapshots: [(Written, Files); 2],
    objects: Vec<(ObjectEntry, PathBuf, Vec<u8>)>,
}

impl Kept {
    fn new(sealing: Sealing, data_key: Option<DataKey>) -> Self {
        let world = World::new();
        let mut content = pages(1, 12 * 8192);
        let tree = |content: &[u8]| {
            Files::from([
                ("base/1".to_owned(), content.to_vec()),
                ("global/2".to_owned(), pages(2, 3 * 8192 + 10)),
            ])
        };
        let before = tree(&content);
        let again = match &data_key {
            Some(key) => Sealing::Sealed(key.clone()),
            None => Sealing::Open,
        };
        let first = world.write(&before, sealing, None);
        touch(&mut content, 5);
        let after = tree(&content);
        let second = world.write(&after, again, Some(&first));
        let objects = world
            .objects(&world.vault)
            .into_iter()
            .map(|entry| {
                let path = world.on_disk(&entry);
                let bytes = std::fs::read(&path).unwrap();
                (entry, path, bytes)
            })
            .collect();
        Self {
            world,
            data_key,
            snapshots: [(first, before), (second, after)],
            objects,
        }
    }

    fn reaches(&self, snapshot: &Written, hash: Hash) -> bool {
        let world = &self.world;
        let header = vault::read_header(
            &world.vault,
            &world.volume,
            snapshot.manifest,
            &world.condemned,
        );
        let header = world.runtime.block_on(header).expect("it is whole");
        hash == snapshot.manifest || header.objects().any(|(object, _)| object.hash == hash)
    }

    fn restore(&self, manifest: Hash) -> Result<Files, VaultError> {
        let restored = self
            .world
            .restore_from(&self.world.vault, manifest, self.data_key.as_ref());
        restored.map(|(_, files)| files)
    }

    fn verify(&self, manifest: Hash) -> Result<vault::conformance::Verified, VaultError> {
        let world = &self.world;
        world.runtime.block_on(vault::conformance::verify_manifest(
            &world.vault,
            &world.volume,
            manifest,
            &world.condemned,
            &vault::Unobserved,
        ))
    }
}

#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, Index, u8),
    Truncate(Index, Index),
    Extend(Index, Vec<u8>),
    Stomp(Index, Index, Vec<u8>),
    Arbitrary(Index, Vec<u8>),
    Swap(Index, Index),
    /// Another object's bytes, perhaps of the other snapshot, under this one's name.
    Impostor(Index, Index),
    Remove(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let (one, at) = (any::<Index>, any::<Index>);
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    let word = prop_oneof![
        Just(vec![0xff; 4]),
        Just(vec![0xff, 0xff, 0xff, 0x7f]),
        Just(vec![0; 4]),
        proptest::collection::vec(any::<u8>(), 1..9)
    ];
    prop_oneof![
        (one(), at(), 0..8_u8).prop_map(|(o, at, bit)| Damage::Flip(o, at, bit)),
        (one(), at()).prop_map(|(o, at)| Damage::Truncate(o, at)),
        (one(), bytes()).prop_map(|(o, more)| Damage::Extend(o, more)),
        (one(), at(), word).prop_map(|(o, at, word)| Damage::Stomp(o, at, word)),
        (one(), bytes()).prop_map(|(o, bytes)| Damage::Arbitrary(o, bytes)),
        (one(), one()).prop_map(|(a, b)| Damage::Swap(a, b)),
        (one(), one()).prop_map(|(a, b)| Damage::Impostor(a, b)),
        one().prop_map(Damage::Remove),
    ]
}

impl Damage {
    /// What the objects' files then hold, where that is something else.
    fn done_to(&self, kept: &Kept) -> BTreeMap<usize, Option<Vec<u8>>> {
        let count = kept.objects.len();
        let bytes = |object: usize| kept.objects[object].2.clone();
        let one = |object: &Index, change: &dyn Fn(&mut Vec<u8>)| {
            let object = object.index(count);
            let mut changed = bytes(object);
            change(&mut changed);
            vec![(object, Some(changed))]
        };
        let all = match self {
            Self::Flip(object, at, bit) => one(object, &|bytes| {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }),
            Self::Truncate(object, to) => {
                one(object, &|bytes| bytes.truncate(to.index(bytes.len())))
            }
            Self::Extend(object, more) => one(object, &|bytes| bytes.extend_from_slice(more)),
            Self::Stomp(object, at, word) => one(object, &|bytes| stomp(bytes, at, word)),
            Self::Arbitrary(object, with) => one(object, &|bytes| bytes.clone_from(with)),
            Self::Swap(a, b) => {
                let (a, b) = (a.index(count), b.index(count));
                vec![(a, Some(bytes(b))), (b, Some(bytes(a)))]
            }
            Self::Impostor(object, of) => {
                vec![(object.index(count), Some(bytes(of.index(count))))]
            }
            Self::Remove(object) => vec![(object.index(count), None)],
        };
        all.into_iter()
            .filter(|(object, now)| now.as_ref() != Some(&kept.objects[*object].2))
            .collect()
    }
}

fn stomp(bytes: &mut [u8], at: &Index, word: &[u8]) {
    let at = at.index(bytes.len());
    for (byte, new) in bytes[at..].iter_mut().zip(word) {
        *byte = *new;
    }
}

fn survives(kept: &Kept, damages: &[Damage]) {
    let mut done = BTreeMap::new();
    for damage in damages {
        done.extend(damage.done_to(kept));
    }
    let hit: Vec<[bool; 2]> = done
        .keys()
        .map(|object| {
            let hash = kept.objects[*object].0.hash;
            [0, 1].map(|number: usize| kept.reaches(&kept.snapshots[number].0, hash))
        })
        .collect();
    for (object, now) in &done {
        let path = &kept.objects[*object].1;
        match now {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
    }
    for (number, (written, files)) in kept.snapshots.iter().enumerate() {
        let broken = hit.iter().any(|reached| reached[number]);
        let names = |error: &VaultError| {
            assert_eq!(error.kind(), ErrorKind::Repair, "{error}");
            let text = error.to_string();
            let named = done
                .keys()
                .any(|object| text.contains(&kept.objects[*object].0.hash.to_string()));
            assert!(named, "{text} names none of {done:?}");
        };
        match kept.restore(written.manifest) {
            Ok(restored) => assert!(restored == *files && !broken, "other bytes came back"),
            Err(error) => names(&error),
        }
        match kept.verify(written.manifest) {
            Ok(_) => assert!(!broken, "the damage was not seen"),
            Err(error) => names(&error),
        }
    }
    for object in done.keys() {
        std::fs::write(&kept.objects[*object].1, &kept.objects[*object].2).unwrap();
    }
}

/// A vault for all cases of a property; each puts back what it damaged.
fn over(kept: &Mutex<Option<Kept>>, make: impl Fn() -> Kept, work: impl Fn(&Kept)) {
    let mut slot = kept
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    // Taken out, so that a case that fails leaves its damage to no other.
    let kept = slot.take().unwrap_or_else(make);
    work(&kept);
    *slot = Some(kept);
}

/// A quarter of the cases that cost next to nothing.
fn fewer() -> ProptestConfig {
    ProptestConfig::with_cases(ProptestConfig::default().cases / 4)
}

proptest! {
    #![proptest_config(fewer())]
    #[test]
    fn damage_to_sealed_objects_is_named(damages in proptest::collection::vec(damage(), 1..4)) {
        static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
        over(&KEPT, || Kept::new(sealed(), Some(key(1))), |kept| survives(kept, &damages));
    }

    #[test]
    fn damage_to_open_objects_is_named(damages in proptest::collection::vec(damage(), 1..4)) {
        static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
        over(&KEPT, || Kept::new(Sealing::Open, None), |kept| survives(kept, &damages));
    }

    /// Whoever writes a vault that is not sealed can make hashes fit. What they make is refused,
    /// or is a snapshot like any other; it breaks nothing.
    #[test]
    fn forged_open_manifests_and_lists_break_nothing(
        list: bool, at: Index, word in prop_oneof![
            Just(vec![0xff; 4]), Just(vec![0xff, 0xff, 0xff, 0x7f]), Just(vec![0; 4]), Just(vec![1, 0, 0, 0]),
            proptest::collection::vec(any::<u8>(), 1..9)
        ]
    ) {
        static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
        over(&KEPT, || Kept::new(Sealing::Open, None), |kept| forged(kept, list, &at, &word));
    }
}

/// Writes an object under the name that its bytes have.
fn lay(like: &Path, bytes: &[u8]) -> (PathBuf, Hash) {
    let hash = Hash(*blake3::hash(bytes).as_bytes());
    let path = like.with_file_name(format!("{hash}.{:032x}", 9));
    std::fs::write(&path, bytes).unwrap();
    (path, hash)
}

fn forged(kept: &Kept, list: bool, at: &Index, word: &[u8]) {
    let root = kept.snapshots[1].0.manifest;
    let manifest = kept.objects.iter().find(|(entry, ..)| entry.hash == root);
    let (_, like, bytes) = manifest.expect("it is kept");
    let mut bytes = bytes.clone();
    let mut laid = Vec::new();
    if list {
        let lists = kept
            .objects
            .iter()
            .filter(|(entry, ..)| entry.kind == ObjectKind::List);
        for (entry, like, list) in lists {
            let mut list = list.clone();
            stomp(&mut list, at, word);
            let (path, hash) = lay(like, &list);
            laid.push(path);
            if let Some(place) = bytes.windows(32).position(|part| part == entry.hash.0) {
                bytes[place..place + 32].copy_from_slice(&hash.0);
            }
        }
    } else {
        stomp(&mut bytes, at, word);
    }
    let (path, hash) = lay(like, &bytes);
    laid.push(path);
    let _ = kept.restore(hash);
    let _ = kept.verify(hash);
    // And what a copy reads of it.
    let there = kept.world.other_vault("there");
    let _ = kept.world.ship(&there, hash, None, &Watch::default());
    for path in laid {
        let _ = std::fs::remove_file(path);
    }
}

/// A length that an object claims must not be believed before there are bytes for it: with a
/// quarter of the memory that four bytes can ask for, the forged objects are refused all the same.
#[test]
fn claimed_lengths_take_no_memory() {
    const LIMIT: &str = "--as=1073741824";
    let Ok(own) = std::env::current_exe() else {
        return;
    };
    let child = std::process::Command::new("prlimit")
        .arg(LIMIT)
        .arg(own)
        .args([
            "--exact",
            "fuzz::forged_open_manifests_and_lists_break_nothing",
        ])
        // Threads that only wait would take address space, too.
        .env("RUST_MIN_STACK", "1048576")
        .env("MALLOC_ARENA_MAX", "2")
        .output();
    match child {
        Ok(done) => assert!(
            done.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        ),
        Err(error) => println!("not tried: prlimit does not start: {error}"),
    }
}
