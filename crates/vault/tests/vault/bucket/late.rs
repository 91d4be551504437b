//! Puts and deletes of a node that was frozen, and two writers at once: what comes late harms nothing.
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::watch;
use vault::{
    ObjectKind, VaultError,
    records::{get_record, put_record},
};

use super::{
    elsewhere, persist,
    server::{Fault, kind, quick},
    world,
};
use crate::world::{Files, Watch, World, key, pages, sealed, small_tree};

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn paths(world: &World, vault: &vault::Vault) -> HashSet<String> {
    let entries = world.objects(vault).into_iter();
    entries.map(|entry| entry.path).collect()
}

/// Holds the first request of that kind for a name that contains `part`.
fn hold(
    server: &super::Server,
    wanted: &'static str,
    part: &'static str,
) -> (watch::Sender<bool>, Arc<Mutex<Vec<String>>>) {
    let (open, gate) = watch::channel(false);
    let held = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&held);
    server.plan(move |request| {
        let mut names = names.lock().unwrap();
        let body = String::from_utf8_lossy(&request.body);
        let is_meant = request.key.contains(part) || body.contains(part);
        if kind(request) == wanted && is_meant && names.is_empty() {
            names.push(request.key.clone());
            return Fault::Held(gate.clone());
        }
        Fault::None
    });
    (open, held)
}

#[test]
fn a_late_put_of_a_frozen_node_harms_nothing() {
    let large = Files::from([("base/1/large".to_owned(), pages(1, 12 << 20))]);
    for (request, part, files) in [
        ("put", "/packs/", small_tree()),
        ("put", "/lists/", small_tree()),
        ("put", "/manifests/", small_tree()),
        ("complete", "/packs/", large),
    ] {
        let (world, server) = world();
        let (open, held) = hold(&server, request, part);
        thread::scope(|threads| {
            // The node that freezes while its put is on the way; its lease runs out.
            let frozen = threads.spawn(|| world.try_write(&files, sealed(), None));
            wait_until("a put is held", || !held.lock().unwrap().is_empty());
            // Another node takes the job over, and its commit is the one that counts.
            let taken = world.try_write(&files, sealed(), None).unwrap();
            // What it does not reach is condemned and swept meanwhile.
            let header = vault::read_header(
                &world.vault,
                &world.volume,
                taken.manifest,
                &world.condemned,
            );
            let header = world.runtime.block_on(header).unwrap();
            let live: HashSet<_> = header.objects().map(|(id, _)| id.hash).collect();
            let is_live = |hash| hash == taken.manifest || live.contains(&hash);
            let sweep = || {
                for entry in world.objects(&world.vault) {
                    if !is_live(entry.hash) {
                        let delete = vault::delete(&world.vault, &entry.path);
                        world.runtime.block_on(delete).unwrap();
                    }
                }
            };
            sweep();
            let counted = paths(&world, &world.vault);
            let late = held.lock().unwrap()[0].clone();
            assert!(!counted.iter().any(|path| late.ends_with(path)));
            open.send(true).unwrap();
            let _ = frozen.join().unwrap();
            assert!(
                server.objects().bytes(&late).is_some(),
                "it was applied late"
            );
            let now = paths(&world, &world.vault);
            assert!(counted.is_subset(&now) && counted != now);
            world.check(&world.vault, taken.manifest, Some(&key(1)), &files);
            // The next sweep removes what it left.
            sweep();
            assert_eq!(paths(&world, &world.vault), counted);
            world.check(&world.vault, taken.manifest, Some(&key(1)), &files);
        });
    }
}

#[test]
fn a_late_copy_of_a_frozen_node_harms_nothing() {
    let (world, server) = world();
    let files = small_tree();
    let there = elsewhere(&server);
    let written = world.write(&files, sealed(), None);
    let (open, held) = hold(&server, "copy", "eu-west-1");
    let ship = || world.ship(&there, written.manifest, None, &Watch::default());
    thread::scope(|threads| {
        let frozen = threads.spawn(ship);
        wait_until("a copy is held", || !held.lock().unwrap().is_empty());
        ship().unwrap();
        let counted = paths(&world, &there);
        open.send(true).unwrap();
        frozen.join().unwrap().unwrap();
        let late = held.lock().unwrap()[0].clone();
        let now = paths(&world, &there);
        assert!(counted.is_subset(&now) && now.iter().any(|path| late.ends_with(path)));
        // What came late may be swept, and all of the other node's stays.
        let delete = vault::delete(&there, late.strip_prefix("ferry/eu-west-1/").unwrap());
        world.runtime.block_on(delete).unwrap();
        world.check(&there, written.manifest, Some(&key(1)), &files);
    });
}

#[test]
fn a_late_delete_of_a_frozen_sweep_harms_nothing() {
    let (mut world, server) = world();
    let files = Files::from([("a".to_owned(), pages(1, 1 << 20))]);
    let there = elsewhere(&server);
    let written = world.write(&files, sealed(), None);
    let ship = |world: &World| world.ship(&there, written.manifest, None, &Watch::default());
    ship(&world).unwrap();
    // The copy was deleted: a sweep condemns its objects. Its first delete is on the way for long.
    let condemned = paths(&world, &there);
    world.condemned.extend(condemned.iter().cloned());
    let (open, held) = hold(&server, "delete", "eu-west-1");
    thread::scope(|threads| {
        let frozen = threads.spawn(|| {
            for path in &condemned {
                let delete = vault::delete(&there, path);
                world.runtime.block_on(delete).unwrap();
            }
        });
        wait_until("a delete is held", || !held.lock().unwrap().is_empty());
        // The same snapshot is copied again; what is condemned counts as absent.
        let again = ship(&world).unwrap();
        assert_eq!(again.bytes, written.stored_bytes, "all of it anew");
        let both = paths(&world, &there);
        assert_eq!(both.len(), 2 * condemned.len());
        open.send(true).unwrap();
        frozen.join().unwrap();
        let left = paths(&world, &there);
        assert!(left.is_disjoint(&condemned) && left.len() == condemned.len());
        // And once more, as a node does that did not hear the answers.
        for path in &condemned {
            let delete = vault::delete(&there, path);
            world.runtime.block_on(delete).unwrap();
        }
        world.check(&there, written.manifest, Some(&key(1)), &files);
    });
}

#[test]
fn two_writers_of_the_same_need_no_conditional_writes() {
    let (world, server) = world();
    let files = Files::from([("a".to_owned(), pages(1, 1 << 20))]);
    let written = world.write(&files, sealed(), None);
    let there = elsewhere(&server);
    let path = "records/123456789012/s/1";
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let ship = || world.ship(&there, written.manifest, None, &Watch::default());
                ship().unwrap();
                let put = put_record(&there, path, Bytes::from_static(b"one"));
                world.runtime.block_on(put).unwrap();
            });
        }
    });
    let other = put_record(&there, path, Bytes::from_static(b"two"));
    let other = world.runtime.block_on(other);
    assert!(matches!(other, Err(VaultError::Conflict { .. })));
    let record = world.runtime.block_on(get_record(&there, path)).unwrap();
    assert_eq!(record.unwrap(), "one");
    // Each writer has names of its own: any one of them may go.
    let entries = world.objects(&there);
    assert!(entries.len() as u64 > written.new_objects);
    let mut kept = HashSet::new();
    for entry in &entries {
        if !kept.insert(entry.hash) {
            let delete = vault::delete(&there, &entry.path);
            world.runtime.block_on(delete).unwrap();
        }
    }
    world.check(&there, written.manifest, Some(&key(1)), &files);
    assert_eq!(server.conditions(), Vec::<String>::new());
}

#[test]
fn a_put_that_is_sent_twice_is_one_object() {
    let (world, server) = world();
    let files = small_tree();
    let mut denied = HashSet::new();
    server.plan(move |request| match kind(request) {
        // It is done, and the answer says that it is not.
        "put" | "copy" if denied.insert(request.key.clone()) => Fault::Denied(500),
        _ => Fault::None,
    });
    let written = world.write(&files, sealed(), None);
    let puts = server.take_counts()["put"].all as u64;
    assert_eq!(puts, 2 * written.new_objects);
    assert_eq!(
        paths(&world, &world.vault).len() as u64,
        written.new_objects
    );
    let there = elsewhere(&server);
    let ship = || world.ship(&there, written.manifest, None, &Watch::default());
    persist("ship", ship);
    assert_eq!(paths(&world, &there).len() as u64, written.new_objects);
    world.check(&there, written.manifest, Some(&key(1)), &files);
}

#[test]
fn what_a_bucket_lists_late_is_looked_for_again() {
    let (world, server) = world();
    server.plan(|request| match kind(request) {
        "put" => Fault::Stale,
        _ => Fault::None,
    });
    let files = small_tree();
    let written = world.write(&files, sealed(), None);
    assert!(
        world
            .objects(&world.vault)
            .iter()
            .all(|entry| entry.kind != ObjectKind::Manifest)
    );
    let later = server.vault("us-east-1", quick());
    world.check(&later, written.manifest, Some(&key(1)), &files);
}
