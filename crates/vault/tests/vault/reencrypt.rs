//! Sealing anew into another volume.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::{Hash, VolumeRef};
use vault::{
    Base, Condemned, DataKey, Extent, ObjectId, ObjectKind, Origin, Reach, ReadFrom, Reencrypt,
    ReencryptKeys, Resealed, Throttle, Unobserved, Vault, VaultError, Written,
};

use crate::world::{Files, Watch, World, key, pages, sealed, small_tree, touch, volume};

/// The copies' volume, in whose terms a world's checks then speak.
fn there() -> VolumeRef {
    volume(9)
}

fn fresh(number: u8) -> DataKey {
    key(100 + number)
}

/// Another deployment's vault, which is read in slices.
#[derive(Debug)]
struct Slices {
    reach: Reach,
    /// Bytes read of each pack.
    packs: Mutex<BTreeMap<Hash, u64>>,
    /// Whether one bit of each pack is another.
    lies: bool,
}

impl Slices {
    fn of(world: &World, source: &Written) -> Self {
        let none = Condemned::new();
        let reach = Reach::open(&world.vault, &world.volume, source.manifest, &none);
        Self {
            reach: world.runtime.block_on(reach).unwrap(),
            packs: Mutex::default(),
            lies: false,
        }
    }

    fn read(&self) -> u64 {
        self.packs.lock().unwrap().values().sum()
    }
}

impl Origin for Slices {
    fn read(
        &self,
        object: ObjectId,
        start: u64,
        length: usize,
    ) -> BoxFuture<'_, Result<Bytes, VaultError>> {
        Box::pin(async move {
            let mut bytes = self.reach.read(object, start, length).await?;
            if object.kind == ObjectKind::Pack {
                *self.packs.lock().unwrap().entry(object.hash).or_default() += bytes.len() as u64;
                if self.lies {
                    let mut altered = bytes.to_vec();
                    altered[0] ^= 1;
                    bytes = altered.into();
                }
            }
            Ok(bytes)
        })
    }
}

/// One try at a copy.
struct Try<'a> {
    source: Hash,
    /// None copies what is not sealed.
    fresh: Option<DataKey>,
    /// Reads piece by piece instead of from the vault.
    link: Option<Slices>,
    base: Option<(Hash, Option<DataKey>)>,
    checkpoint: Option<Hash>,
    extent: Extent,
    throttle: Option<&'a Arc<Throttle>>,
    recorded: Mutex<Vec<Hash>>,
}

impl<'a> Try<'a> {
    fn of(source: &Written, number: u8) -> Self {
        Self {
            source: source.manifest,
            fresh: Some(fresh(number)),
            link: None,
            base: None,
            checkpoint: None,
            extent: Extent::Frames,
            throttle: None,
            recorded: Mutex::default(),
        }
    }

    fn after(mut self, copy: &Resealed, number: u8) -> Self {
        self.base = Some((copy.manifest, self.fresh.as_ref().map(|_| fresh(number))));
        self
    }

    fn run(&self, world: &World, to: &Vault, watch: &Watch) -> Result<Resealed, VaultError> {
        let _entered = world.runtime.enter();
        let base = self.base.as_ref().map(|(manifest, key)| Base {
            manifest: *manifest,
            data_key: key.clone(),
        });
        let (old, none) = (key(1), Condemned::new());
        let job = Reencrypt {
            from: match &self.link {
                Some(link) => ReadFrom::Link(link),
                None => ReadFrom::Vault(&world.vault, &none),
            },
            origin: &volume(1),
            manifest: self.source,
            keys: self
                .fresh
                .as_ref()
                .map(|fresh| ReencryptKeys { old: &old, fresh }),
            to,
            volume: &there(),
            condemned_there: &world.condemned,
            base: base.as_ref(),
            checkpoint: self.checkpoint,
            extent: self.extent,
            throttle: self.throttle,
        };
        let record = |manifest| {
            self.recorded.lock().unwrap().push(manifest);
            true
        };
        vault::reencrypt(job, watch, &record)
    }

    fn done(&self, world: &World, to: &Vault) -> Resealed {
        self.run(world, to, &Watch::default()).expect("is copied")
    }
}

/// Restores a copy and compares every file.
fn check(world: &mut World, to: &Vault, copy: &Resealed, number: u8, files: &Files) {
    world.volume = there();
    world.check(to, copy.manifest, Some(&fresh(number)), files);
    world.volume = volume(1);
}

fn files(content: Vec<u8>) -> Files {
    Files::from([("base/1/1".to_owned(), content)])
}

fn names(world: &mut World, vault: &Vault, of: VolumeRef) -> BTreeSet<(ObjectKind, Hash)> {
    world.volume = of;
    let found = world.objects(vault);
    world.volume = volume(1);
    found
        .into_iter()
        .map(|entry| (entry.kind, entry.hash))
        .collect()
}

#[test]
fn a_copy_is_whole_and_shares_no_object_and_no_key() {
    let mut world = World::new();
    let mut tree = small_tree();
    tree.insert("base/1/2".to_owned(), pages(7, 34 << 20));
    let first = world.write(&tree, sealed(), None);
    for (number, extent) in [(1, Extent::Frames), (2, Extent::Blocks)] {
        let to = world.other_vault(&format!("there{number}"));
        let watch = Watch::default();
        let attempt = Try {
            extent,
            ..Try::of(&first, number)
        };
        let copy = attempt.run(&world, &to, &watch).unwrap();
        check(&mut world, &to, &copy, number, &tree);
        assert_eq!(copy.logical_bytes, first.logical_bytes);
        assert_eq!(
            watch.done.load(Ordering::SeqCst),
            watch.total.load(Ordering::SeqCst)
        );
        assert_eq!(watch.shipped_bytes.load(Ordering::SeqCst), copy.new_bytes);
        let source_vault = world.vault.clone();
        let here = names(&mut world, &source_vault, volume(1));
        let there = names(&mut world, &to, there());
        assert!(here.is_disjoint(&there));
        // The same frames take the same bytes; the map is what is added.
        assert!(
            copy.stored_bytes < first.stored_bytes + 4096,
            "{copy:?} {first:?}"
        );

        world.volume = self::there();
        let refused = world.restore_from(&to, copy.manifest, Some(&key(1)));
        assert!(matches!(refused, Err(VaultError::WrongKey { .. })));
        world.volume = volume(1);
    }
}

#[test]
fn the_next_copy_moves_only_what_changed() {
    let mut world = World::new();
    let to = world.other_vault("there");
    let mut content = pages(1, 36 << 20);
    let first = world.write(&files(content.clone()), sealed(), None);
    let copied = Try::of(&first, 1).done(&world, &to);
    let mut before = (first, copied);
    for number in 2..5 {
        touch(&mut content, 97 + usize::from(number));
        let next = world.write(&files(content.clone()), sealed(), Some(&before.0));
        let watch = Watch::default();
        let attempt = Try::of(&next, number).after(&before.1, number - 1);
        let copy = attempt.run(&world, &to, &watch).unwrap();
        check(&mut world, &to, &copy, number, &files(content.clone()));
        assert!(!copy.base_lost);
        assert!(
            copy.new_bytes * 10 <= next.new_bytes * 12,
            "{} written for {}",
            copy.new_bytes,
            next.new_bytes
        );
        assert_eq!(
            watch.done.load(Ordering::SeqCst),
            watch.total.load(Ordering::SeqCst)
        );
        before = (next, copy);
    }
    // The same snapshot once more needs a manifest only.
    let (source, copy) = before;
    let again = Try::of(&source, 7).after(&copy, 4).done(&world, &to);
    assert_eq!(again.new_objects, 1);
    check(&mut world, &to, &again, 7, &files(content));
}

#[test]
fn an_older_snapshot_and_one_whose_base_is_gone_come_out_right_too() {
    let mut world = World::new();
    let to = world.other_vault("there");
    let mut content = pages(1, 20 << 20);
    let old = content.clone();
    let first = world.write(&files(content.clone()), sealed(), None);
    touch(&mut content, 3);
    let second = world.write(&files(content.clone()), sealed(), Some(&first));
    for extent in [Extent::Frames, Extent::Blocks] {
        let attempt = |source, number| Try {
            extent,
            ..Try::of(source, number)
        };
        let newer = attempt(&second, 2).done(&world, &to);
        let older = attempt(&first, 1).after(&newer, 2).done(&world, &to);
        check(&mut world, &to, &newer, 2, &files(content.clone()));
        check(&mut world, &to, &older, 1, &files(old.clone()));
        assert!(older.new_bytes < first.stored_bytes);

        let wrong = attempt(&second, 3).after(&newer, 9).done(&world, &to);
        assert!(wrong.base_lost);
        check(&mut world, &to, &wrong, 3, &files(content.clone()));
    }
}

#[test]
fn what_is_condemned_at_the_target_is_made_again() {
    let mut world = World::new();
    let to = world.other_vault("there");
    let content = pages(1, 20 << 20);
    let source = world.write(&files(content.clone()), sealed(), None);
    let first = Try::of(&source, 1).done(&world, &to);
    world.volume = there();
    let entries = world.objects(&to);
    world.volume = volume(1);
    world.condemned = entries
        .iter()
        .filter(|entry| entry.kind != ObjectKind::Manifest)
        .map(|entry| entry.path.clone())
        .collect();
    let second = Try::of(&source, 2).after(&first, 1).done(&world, &to);
    assert_eq!(second.new_objects, source.new_objects);
    for path in &world.condemned {
        world.runtime.block_on(vault::delete(&to, path)).unwrap();
    }
    check(&mut world, &to, &second, 2, &files(content));
}

#[test]
fn an_interrupted_copy_goes_on_where_it_was() {
    let mut world = World::new();
    let to = world.other_vault("there");
    let content = pages(1, 80 << 20);
    let source = world.write(&files(content.clone()), sealed(), None);
    let throttle = Arc::new(Throttle::new(60 << 20));
    let mut attempt = Try {
        throttle: Some(&throttle),
        ..Try::of(&source, 1)
    };
    let watch = Watch::stopping_at(source.stored_bytes * 7 / 10);
    let ended = attempt.run(&world, &to, &watch);
    assert!(matches!(ended, Err(VaultError::Stopped)), "{ended:?}");
    let moved = watch.shipped_bytes.load(Ordering::SeqCst);
    assert!(source.stored_bytes / 4 < moved, "{moved}");
    attempt.checkpoint = attempt.recorded.lock().unwrap().pop();
    assert!(attempt.checkpoint.is_some());
    attempt.throttle = None;
    let copy = attempt.done(&world, &to);
    assert!(
        copy.new_bytes + moved < source.stored_bytes + 64_000,
        "{} and {moved} for {}",
        copy.new_bytes,
        source.stored_bytes
    );
    check(&mut world, &to, &copy, 1, &files(content));
}

#[test]
fn a_copy_that_cannot_be_recorded_stops() {
    let world = World::new();
    let to = world.other_vault("there");
    let source = world.write(&files(pages(1, 40 << 20)), sealed(), None);
    let watch = Watch::stopping_at(source.stored_bytes / 2);
    let (old, fresh, none) = (key(1), fresh(1), Condemned::new());
    let keys = ReencryptKeys {
        old: &old,
        fresh: &fresh,
    };
    let job = Reencrypt {
        from: ReadFrom::Vault(&world.vault, &none),
        origin: &volume(1),
        manifest: source.manifest,
        keys: Some(keys),
        to: &to,
        volume: &there(),
        condemned_there: &Condemned::new(),
        base: None,
        checkpoint: None,
        extent: Extent::Frames,
        throttle: None,
    };
    let _entered = world.runtime.enter();
    let ended = vault::reencrypt(job, &watch, &|_| false);
    assert!(matches!(ended, Err(VaultError::Stopped)));
    // Neither a wrong key nor a snapshot that is not sealed is taken.
    let wrong = Reencrypt {
        keys: Some(ReencryptKeys {
            old: &key(2),
            ..keys
        }),
        ..job
    };
    let refused = vault::reencrypt(wrong, &Unobserved, &|_| true);
    assert!(matches!(refused, Err(VaultError::WrongKey { .. })));
    let open = world.write(&files(vec![1; 9]), vault::Sealing::Open, None);
    let plain = Reencrypt {
        manifest: open.manifest,
        ..job
    };
    let refused = vault::reencrypt(plain, &Unobserved, &|_| true);
    assert!(matches!(
        refused,
        Err(VaultError::Sealing { sealed: false, .. })
    ));
}

#[test]
fn a_tampered_source_is_refused() {
    let world = World::new();
    let source = world.write(&files(pages(1, 1 << 20)), sealed(), None);
    for (number, entry) in world.objects(&world.vault).iter().enumerate() {
        let to = world.other_vault(&format!("there{number}"));
        let path = world.on_disk(entry);
        let whole = std::fs::read(&path).unwrap();
        let mut broken = whole.clone();
        let middle = broken.len() / 2;
        broken[middle] ^= 1;
        std::fs::write(&path, &broken).unwrap();
        let error = Try::of(&source, 1)
            .run(&world, &to, &Watch::default())
            .unwrap_err();
        assert!(
            matches!(&error, VaultError::Damaged { object, .. }
                if object.hash == entry.hash && object.kind == entry.kind),
            "{error}"
        );
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_lineage_goes_on_in_the_new_volume() {
    let mut world = World::new();
    let to = world.other_vault("there");
    let mut content = pages(1, 30 << 20);
    let source = world.write(&files(content.clone()), sealed(), None);
    let copy = Try::of(&source, 1).done(&world, &to);
    // A cluster restored from the copy is snapshot there.
    world.volume = there();
    world.vault = to.clone();
    touch(&mut content, 200);
    let base = Base {
        manifest: copy.manifest,
        data_key: Some(fresh(1)),
    };
    let next = world
        .try_write(
            &files(content.clone()),
            vault::Sealing::Sealed(fresh(2)),
            Some(base),
        )
        .unwrap();
    assert!(next.new_bytes * 20 < copy.stored_bytes);
    world.check(&to, next.manifest, Some(&fresh(2)), &files(content));
}

#[test]
fn a_throttle_slows_it() {
    let world = World::new();
    let to = world.other_vault("there");
    let source = world.write(&files(pages(1, 4 << 20)), sealed(), None);
    let throttle = Arc::new(Throttle::new(source.stored_bytes * 4));
    let begun = Instant::now();
    let attempt = Try {
        throttle: Some(&throttle),
        ..Try::of(&source, 1)
    };
    attempt.done(&world, &to);
    assert!(Duration::from_millis(230) < begun.elapsed());
}

#[test]
fn a_link_is_read_once_for_each_pack_and_then_for_what_changed() {
    let mut world = World::new();
    let to = world.other_vault("there");
    let mut content = pages(1, 60 << 20);
    let source = world.write(&files(content.clone()), sealed(), None);
    let throttle = Arc::new(Throttle::new(60 << 20));
    let mut attempt = Try {
        link: Some(Slices::of(&world, &source)),
        extent: Extent::Blocks,
        throttle: Some(&throttle),
        ..Try::of(&source, 1)
    };
    let watch = Watch::stopping_at(source.stored_bytes * 7 / 10);
    let ended = attempt.run(&world, &to, &watch);
    assert!(matches!(ended, Err(VaultError::Stopped)), "{ended:?}");
    attempt.checkpoint = attempt.recorded.lock().unwrap().pop();
    attempt.throttle = None;
    let copy = attempt.done(&world, &to);
    check(&mut world, &to, &copy, 1, &files(content.clone()));
    // One pack of 16 MiB was under way when the first try ended.
    let read = attempt.link.as_ref().unwrap().read();
    assert!(read <= source.stored_bytes + (16 << 20), "{read}");

    touch(&mut content, 97);
    let next = world.write(&files(content.clone()), sealed(), Some(&source));
    let attempt = Try {
        link: Some(Slices::of(&world, &next)),
        extent: Extent::Blocks,
        ..Try::of(&next, 2).after(&copy, 1)
    };
    let copy = attempt.done(&world, &to);
    check(&mut world, &to, &copy, 2, &files(content));
    let read = attempt.link.as_ref().unwrap().read();
    assert!(read <= next.new_bytes, "{read} of {}", next.new_bytes);
}

#[test]
fn a_link_that_lies_is_caught() {
    let mut world = World::new();
    let to = world.other_vault("there");
    let source = world.write(&small_tree(), sealed(), None);
    let mut link = Slices::of(&world, &source);
    link.lies = true;
    let attempt = Try {
        link: Some(link),
        ..Try::of(&source, 1)
    };
    let ended = attempt.run(&world, &to, &Watch::default());
    assert!(
        matches!(ended, Err(VaultError::Damaged { .. })),
        "{ended:?}"
    );
    assert!(names(&mut world, &to, there()).is_empty());
}

/// Whether some object of a vault has these bytes as they are.
fn lies_open(world: &World, vault: &str, bytes: &[u8]) -> bool {
    let folder = world.folder.path().join(vault);
    let found = crate::world::read_tree(&folder);
    found
        .values()
        .any(|object| object.windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn what_is_not_sealed_is_laid_out_again_without_the_blocks_of_others() {
    let world = World::new();
    let to = world.other_vault("there");
    let mut content = pages(1, 3 << 20);
    let secret = content[..64].to_vec();
    let first = world.write(&files(content.clone()), vault::Sealing::Open, None);
    content[..4096].copy_from_slice(&pages(9, 8192)[..4096]);
    let second = world.write(&files(content.clone()), vault::Sealing::Open, Some(&first));
    let attempt = Try {
        fresh: None,
        extent: Extent::Blocks,
        link: Some(Slices::of(&world, &second)),
        ..Try::of(&second, 1)
    };
    let copy = attempt.done(&world, &to);
    let there = there();
    let restored = World {
        volume: there,
        ..world
    };
    restored.check(&to, copy.manifest, None, &files(content.clone()));
    assert!(lies_open(&restored, "here", &secret) && !lies_open(&restored, "there", &secret));
    assert!(lies_open(&restored, "there", &content[8192..8192 + 64]));
    let world = World {
        volume: volume(1),
        ..restored
    };

    // The next copy moves what changed, and a sealed base is of no use to it.
    touch(&mut content, 50);
    let third = world.write(&files(content), vault::Sealing::Open, Some(&second));
    let next = Try {
        fresh: None,
        base: Some((copy.manifest, None)),
        ..Try::of(&third, 1)
    };
    let made = next.done(&world, &to);
    assert!(made.new_bytes * 2 < third.stored_bytes && !made.base_lost);
    let wrong = Try {
        fresh: None,
        base: Some((copy.manifest, Some(key(1)))),
        ..Try::of(&third, 1)
    };
    assert!(wrong.done(&world, &to).base_lost);
}
