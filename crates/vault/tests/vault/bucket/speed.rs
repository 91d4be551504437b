//! What is on its way at once, counted while every answer takes 20 ms.
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use vault::{Base, BucketOptions, PART_BYTES_MIN, Throttle};

use super::{
    elsewhere,
    server::{Fault, kind, quick},
    world,
};
use crate::world::{Files, Watch, World, key, pages, sealed};

const LATENCY: Duration = Duration::from_millis(20);
const RANGE_BYTES: u64 = 4 << 20;

fn large() -> Files {
    Files::from([("base/1/1".to_owned(), pages(1, 44 << 20))])
}

/// Requests that a restore of everything sends for objects above one range.
fn ranges(world: &World) -> usize {
    let sizes = world.objects(&world.vault).into_iter();
    sizes
        .filter(|entry| RANGE_BYTES < entry.size)
        .map(|entry| entry.size.div_ceil(RANGE_BYTES) as usize)
        .sum()
}

#[test]
fn large_objects_are_read_in_ranges_at_once() {
    let (world, server) = world();
    let written = world.write(&large(), sealed(), None);
    server.latency(LATENCY);
    for (streams, least) in [(16, 4), (1, 1)] {
        let options = BucketOptions { streams, ..quick() };
        let vault = server.vault("us-east-1", options);
        let check = |counts: &std::collections::BTreeMap<_, super::server::Count>| {
            let count = counts["range"];
            assert_eq!(count.all, ranges(&world));
            assert!((least..=streams).contains(&count.most), "{count:?}");
        };
        server.take_counts();
        world.check(&vault, written.manifest, Some(&key(1)), &large());
        check(&server.take_counts());
        // A copy to where the store cannot help.
        let to = world.other_vault(&format!("there{streams}"));
        let from = World {
            vault,
            ..World::new()
        };
        from.ship(&to, written.manifest, None, &Watch::default())
            .unwrap();
        check(&server.take_counts());
        world.check(&to, written.manifest, Some(&key(1)), &large());
    }
}

#[test]
fn no_request_lasts_long_below_a_limit() {
    let (world, server) = world();
    let files = Files::from([("a".to_owned(), pages(1, 1 << 20))]);
    let written = world.write(&files, sealed(), None);
    let (to, limit) = (world.other_vault("there"), 256 << 10);
    let throttle = Arc::new(Throttle::new(limit));
    server.take_counts();
    world
        .ship(&to, written.manifest, Some(&throttle), &Watch::default())
        .unwrap();
    let entries = world.objects(&world.vault).into_iter();
    let sizes = entries.map(|entry| entry.size).filter(|size| limit < *size);
    let ranges: u64 = sizes.map(|size| size.div_ceil(limit)).sum();
    let count = server.take_counts()["range"];
    assert_eq!((count.all as u64, count.most), (ranges, 1));
    world.check(&to, written.manifest, Some(&key(1)), &files);
}

#[test]
fn large_objects_are_uploaded_in_parts_at_once() {
    let (world, server) = world();
    server.latency(LATENCY);
    let written = world.write(&large(), sealed(), None);
    let counts = server.take_counts();
    let sizes: Vec<u64> = world.objects(&world.vault).iter().map(|e| e.size).collect();
    let in_parts = sizes.iter().filter(|size| (PART_BYTES_MIN as u64) < **size);
    let parts = |size: &u64| size.div_ceil(PART_BYTES_MIN as u64) as usize;
    assert_eq!(counts["complete"].all, in_parts.clone().count());
    assert_eq!(counts["part"].all, in_parts.map(parts).sum::<usize>());
    assert!((3..=16).contains(&counts["part"].most), "{counts:?}");
    assert_eq!(server.objects().unfinished_uploads(), 0);
    server.latency(Duration::ZERO);
    world.check(&world.vault, written.manifest, Some(&key(1)), &large());

    // The store gives a copy of such an object another tag: it is read back.
    let there = elsewhere(&server);
    server.take_counts();
    world
        .ship(&there, written.manifest, None, &Watch::default())
        .unwrap();
    let counts = server.take_counts();
    assert_eq!(counts["range"].all, ranges(&world));
    assert!(!counts.contains_key("part"), "nothing is carried");
    world.check(&there, written.manifest, Some(&key(1)), &large());
}

#[test]
fn an_upload_in_parts_that_fails_leaves_nothing() {
    let (world, server) = world();
    let third = |request: &super::http::Request| {
        request.query.get("partNumber").map(String::as_str) == Some("3")
    };
    server.plan(move |request| match kind(request) {
        "part" if third(request) => Fault::Refused(400),
        _ => Fault::None,
    });
    world.try_write(&large(), sealed(), None).unwrap_err();
    let begun = Instant::now();
    while 0 < server.objects().unfinished_uploads() {
        assert!(begun.elapsed() < Duration::from_secs(20), "uploads stay");
        thread::sleep(Duration::from_millis(5));
    }
    // Done, though the answer says that it failed: asked again, the store knows no such upload.
    server.plan(|request| match kind(request) {
        "complete" => Fault::Denied(500),
        _ => Fault::None,
    });
    let written = world.write(&large(), sealed(), None);
    server.sound();
    world.check(&world.vault, written.manifest, Some(&key(1)), &large());
}

#[test]
fn a_store_copies_many_objects_at_once() {
    let (world, server) = world();
    let mut files = Files::new();
    let mut written = None;
    for number in 0..12 {
        files.insert(format!("base/1/{number}"), pages(number, 1 << 16));
        written = Some(world.write(&files, sealed(), written.as_ref()));
    }
    let manifest = written.unwrap().manifest;
    let there = elsewhere(&server);
    server.latency(LATENCY);
    server.take_counts();
    let shipped = world
        .ship(&there, manifest, None, &Watch::default())
        .unwrap();
    let counts = server.take_counts();
    assert_eq!(counts["copy"].all as u64, shipped.objects);
    assert!(8 <= counts["copy"].most, "{counts:?}");
    assert_eq!(counts["get"].all, 1, "the manifest's header and no more");
    assert!(!counts.contains_key("put") && !counts.contains_key("range"));
    server.latency(Duration::ZERO);
    world.check(&there, manifest, Some(&key(1)), &files);
    // The next snapshot rests on what was copied.
    let base = Base {
        manifest,
        data_key: Some(key(1)),
    };
    let next = world.try_write(&files, sealed(), Some(base)).unwrap();
    let shipped = world.ship(&there, next.manifest, None, &Watch::default());
    assert_eq!(shipped.unwrap().bytes, next.new_bytes);
}
