//! Sealing anew into another volume.
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use model::{Hash, VolumeRef};
use vault::{
    Base, Condemned, DataKey, Extent, ObjectKind, Reseal, Resealed, Throttle, Unobserved, Vault,
    VaultError, Written,
};

use crate::world::{Files, Watch, World, key, pages, sealed, small_tree, touch, volume};

/// The copies' volume, in whose terms a world's checks then speak.
fn there() -> VolumeRef {
    volume(9)
}

fn fresh(number: u8) -> DataKey {
    key(100 + number)
}

/// One try at a copy.
struct Try<'a> {
    source: Hash,
    fresh: DataKey,
    base: Option<(Hash, DataKey)>,
    checkpoint: Option<Hash>,
    extent: Extent,
    throttle: Option<&'a Arc<Throttle>>,
    recorded: Mutex<Vec<Hash>>,
}

impl<'a> Try<'a> {
    fn of(source: &Written, number: u8) -> Self {
        Self {
            source: source.manifest,
            fresh: fresh(number),
            base: None,
            checkpoint: None,
            extent: Extent::Frames,
            throttle: None,
            recorded: Mutex::default(),
        }
    }

    fn after(mut self, copy: &Resealed, number: u8) -> Self {
        self.base = Some((copy.manifest, fresh(number)));
        self
    }

    fn run(&self, world: &World, to: &Vault, watch: &Watch) -> Result<Resealed, VaultError> {
        let _entered = world.runtime.enter();
        let base = self.base.as_ref().map(|(manifest, key)| Base {
            manifest: *manifest,
            data_key: Some(key.clone()),
        });
        let job = Reseal {
            from: &world.vault,
            origin: &volume(1),
            manifest: self.source,
            data_key: &key(1),
            condemned_here: &Condemned::new(),
            to,
            volume: &there(),
            fresh_key: &self.fresh,
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
        vault::reseal(job, watch, &record)
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
fn what_is_condemned_at_the_target_is_made_anew() {
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
    let job = Reseal {
        from: &world.vault,
        origin: &volume(1),
        manifest: source.manifest,
        data_key: &key(1),
        condemned_here: &Condemned::new(),
        to: &to,
        volume: &there(),
        fresh_key: &fresh(1),
        condemned_there: &Condemned::new(),
        base: None,
        checkpoint: None,
        extent: Extent::Frames,
        throttle: None,
    };
    let _entered = world.runtime.enter();
    let ended = vault::reseal(job, &watch, &|_| false);
    assert!(matches!(ended, Err(VaultError::Stopped)));
    // Neither a wrong key nor a snapshot that is not sealed is taken.
    let wrong = Reseal {
        data_key: &key(2),
        ..job
    };
    let refused = vault::reseal(wrong, &Unobserved, &|_| true);
    assert!(matches!(refused, Err(VaultError::WrongKey { .. })));
    let open = world.write(&files(vec![1; 9]), vault::Sealing::Open, None);
    let plain = Reseal {
        manifest: open.manifest,
        ..job
    };
    let refused = vault::reseal(plain, &Unobserved, &|_| true);
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
