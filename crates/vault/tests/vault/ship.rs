//! Shipping to another vault.
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use vault::{ObjectKind, Throttle, VaultError};

use crate::world::{Files, Watch, World, key, pages, sealed, touch};

fn files(content: Vec<u8>) -> Files {
    Files::from([("base/1/1".to_owned(), content)])
}

#[test]
fn only_what_is_missing_is_shipped() {
    let world = World::new();
    let to = world.other_vault("there");
    let mut content = pages(1, 40 << 20);
    let first = world.write(&files(content.clone()), sealed(), None);
    let watch = Watch::default();
    let shipped = world.ship(&to, first.manifest, None, &watch).unwrap();
    assert_eq!(shipped.bytes, first.stored_bytes);
    assert_eq!(shipped.objects, first.new_objects);
    assert_eq!(
        (shipped.held_bytes, shipped.total_bytes),
        (0, first.stored_bytes)
    );
    assert_eq!(watch.total.load(Ordering::SeqCst), first.stored_bytes);
    assert_eq!(watch.done.load(Ordering::SeqCst), first.stored_bytes);
    world.check(&to, first.manifest, Some(&key(1)), &files(content.clone()));

    touch(&mut content, 100);
    let second = world.write(&files(content.clone()), sealed(), Some(&first));
    let watch = Watch::default();
    let shipped = world.ship(&to, second.manifest, None, &watch).unwrap();
    assert_eq!(
        shipped.bytes, second.new_bytes,
        "exactly what the next snapshot wrote"
    );
    assert_eq!(watch.shipped_bytes.load(Ordering::SeqCst), second.new_bytes);
    assert_eq!(watch.held.load(Ordering::SeqCst), shipped.held_bytes);
    assert_eq!(shipped.held_bytes + shipped.bytes, second.stored_bytes);
    assert_eq!(watch.done.load(Ordering::SeqCst), second.stored_bytes);
    world.check(&to, second.manifest, Some(&key(1)), &files(content));

    let again = world
        .ship(&to, second.manifest, None, &Watch::default())
        .unwrap();
    assert_eq!((again.objects, again.bytes), (0, 0));
}

#[test]
fn an_interrupted_shipment_goes_on_where_it_was() {
    let world = World::new();
    let to = world.other_vault("there");
    let content = pages(1, 80 << 20);
    let written = world.write(&files(content.clone()), sealed(), None);
    let watch = Watch::stopping_at(written.stored_bytes * 3 / 4);
    let throttle = Arc::new(Throttle::new(60 << 20));
    let ended = world.ship(&to, written.manifest, Some(&throttle), &watch);
    assert!(matches!(ended, Err(VaultError::Stopped)));
    let arrived = world.objects(&to);
    assert!(arrived.iter().all(|entry| entry.kind == ObjectKind::Pack));
    let bytes: u64 = arrived.iter().map(|entry| entry.size).sum();
    assert!(0 < bytes);
    let shipped = world
        .ship(&to, written.manifest, None, &Watch::default())
        .unwrap();
    assert_eq!(shipped.held_bytes, bytes);
    assert_eq!(shipped.bytes, written.stored_bytes - bytes);
    world.check(&to, written.manifest, Some(&key(1)), &files(content));
}

#[test]
fn a_damaged_source_object_never_gets_its_name() {
    let world = World::new();
    let written = world.write(&files(pages(1, 1 << 20)), sealed(), None);
    for (number, entry) in world.objects(&world.vault).iter().enumerate() {
        let to = world.other_vault(&format!("there{number}"));
        let path = world.on_disk(entry);
        let whole = std::fs::read(&path).unwrap();
        let mut broken = whole.clone();
        let middle = broken.len() / 2;
        broken[middle] ^= 1;
        std::fs::write(&path, &broken).unwrap();
        let error = world
            .ship(&to, written.manifest, None, &Watch::default())
            .unwrap_err();
        assert!(
            matches!(&error, VaultError::Damaged { object, .. }
                if object.hash == entry.hash && object.kind == entry.kind),
            "{error}"
        );
        let there = world.objects(&to);
        assert!(
            there
                .iter()
                .all(|e| e.hash != entry.hash && e.kind != ObjectKind::Manifest)
        );
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn another_incarnation_serves_when_one_is_damaged() {
    let world = World::new();
    let to = world.other_vault("there");
    let content = pages(1, 1 << 20);
    let written = world.write(&files(content.clone()), sealed(), None);
    for entry in world.objects(&world.vault) {
        let path = world.on_disk(&entry);
        let second = path.with_extension("0".repeat(32));
        let third = path.with_extension("f".repeat(32));
        for copy in [&second, &third] {
            std::fs::write(copy, vec![1; entry.size as usize]).unwrap();
        }
        std::fs::copy(&path, &third).unwrap();
        std::fs::write(&path, b"x").unwrap();
    }
    world.check(
        &world.vault,
        written.manifest,
        Some(&key(1)),
        &files(content.clone()),
    );
    world
        .ship(&to, written.manifest, None, &Watch::default())
        .unwrap();
    world.check(&to, written.manifest, Some(&key(1)), &files(content));
}

#[test]
fn condemned_names_at_the_target_count_as_absent() {
    let mut world = World::new();
    let to = world.other_vault("there");
    let content = pages(1, 1 << 20);
    let written = world.write(&files(content.clone()), sealed(), None);
    world
        .ship(&to, written.manifest, None, &Watch::default())
        .unwrap();
    world.condemned = world
        .objects(&to)
        .into_iter()
        .map(|entry| entry.path)
        .collect();
    let again = world
        .ship(&to, written.manifest, None, &Watch::default())
        .unwrap();
    assert_eq!(again.bytes, written.stored_bytes);
    for path in &world.condemned {
        world.runtime.block_on(vault::delete(&to, path)).unwrap();
    }
    world.check(&to, written.manifest, Some(&key(1)), &files(content));
}

#[test]
fn a_throttle_slows_and_progress_moves() {
    let world = World::new();
    let to = world.other_vault("there");
    let written = world.write(&files(pages(1, 4 << 20)), sealed(), None);
    let throttle = Arc::new(Throttle::new(written.stored_bytes * 4));
    let begun = Instant::now();
    world
        .ship(&to, written.manifest, Some(&throttle), &Watch::default())
        .unwrap();
    assert!(Duration::from_millis(240) < begun.elapsed());
    // At this pace it would take an hour; the stop is heard within a chunk.
    let to = world.other_vault("elsewhere");
    let throttle = Arc::new(Throttle::new(written.stored_bytes / 3600));
    let watch = Watch::stopping_at(1);
    let ended = world.ship(&to, written.manifest, Some(&throttle), &watch);
    assert!(matches!(ended, Err(VaultError::Stopped)));
    assert!(watch.done.load(Ordering::SeqCst) < written.stored_bytes / 10);
}
