//! What a snapshot on a base writes, what is reached, and what may be removed.
use vault::{Base, Condemned, ObjectKind, Sealing, VaultError};

use crate::world::{Files, World, key, pages, sealed, small_tree, touch};

fn one_file(content: Vec<u8>) -> Files {
    Files::from([("base/1/1".to_owned(), content)])
}

fn kinds(world: &World) -> [usize; 3] {
    let entries = world.objects(&world.vault);
    ObjectKind::ALL.map(|kind| entries.iter().filter(|e| e.kind == kind).count())
}

#[test]
fn an_unchanged_snapshot_writes_only_a_manifest() {
    let world = World::new();
    let files = one_file(pages(1, 40 << 20));
    for (sealing, key) in [(sealed(), Some(key(1))), (Sealing::Open, None)] {
        let first = world.write(&files, sealing.clone(), None);
        let second = world.write(&files, sealing, Some(&first));
        assert_eq!(second.new_objects, 1, "{second:?}");
        assert!(second.new_bytes < 2000, "{second:?}");
        assert_ne!(second.manifest, first.manifest);
        assert!(second.stored_bytes.abs_diff(first.stored_bytes) < 100);
        world.check(&world.vault, second.manifest, key.as_ref(), &files);
    }
}

#[test]
fn a_change_of_one_percent_writes_only_that() {
    let world = World::new();
    let mut content = pages(1, 40 << 20);
    let first = world.write(&one_file(content.clone()), sealed(), None);
    let before = kinds(&world);
    let touched = touch(&mut content, 100);
    let second = world.write(&one_file(content.clone()), sealed(), Some(&first));
    assert_eq!(kinds(&world), [before[0] + 1, before[1] + 1, before[2] + 1]);
    let pack = world
        .objects(&world.vault)
        .iter()
        .filter(|entry| entry.kind == ObjectKind::Pack)
        .map(|entry| entry.size)
        .min()
        .unwrap();
    assert!(
        pack < touched * 8192 * 6 / 10,
        "{pack} bytes for {touched} pages"
    );
    world.check(
        &world.vault,
        second.manifest,
        Some(&key(1)),
        &one_file(content.clone()),
    );

    // The third refers to packs and lists of both.
    touch(&mut content[36 << 20..], 50);
    let third = world.write(&one_file(content.clone()), sealed(), Some(&second));
    world.check(
        &world.vault,
        third.manifest,
        Some(&key(1)),
        &one_file(content),
    );
}

#[test]
fn files_that_grow_shrink_come_and_go_keep_what_they_had() {
    let world = World::new();
    let noise = |bytes| pages(5, bytes);
    let first = Files::from([
        ("grows".to_owned(), noise(33 << 20)),
        ("shrinks".to_owned(), pages(6, 2 << 20)),
        ("goes".to_owned(), pages(7, 1 << 20)),
        ("to_zero".to_owned(), pages(8, 1 << 20)),
    ]);
    let base = world.write(&first, sealed(), None);
    let mut second = first.clone();
    second.remove("goes");
    second.insert("grows".to_owned(), noise(33 << 20 | 5 << 13));
    second.get_mut("shrinks").unwrap().truncate((1 << 20) + 1);
    second.insert("to_zero".to_owned(), vec![0; 1 << 20]);
    second.insert("comes".to_owned(), pages(9, 100_000));
    let next = world.write(&second, sealed(), Some(&base));
    // 5 pages that grew, half a page that was cut, and the file that came: all half noise.
    assert!(next.new_bytes < 200_000, "{next:?}");
    world.check(&world.vault, next.manifest, Some(&key(1)), &second);
    world.check(&world.vault, base.manifest, Some(&key(1)), &first);
    let back = world.write(&first, sealed(), Some(&next));
    world.check(&world.vault, back.manifest, Some(&key(1)), &first);
}

#[test]
fn each_snapshot_may_have_its_own_data_key() {
    let world = World::new();
    let files = small_tree();
    let first = world.write(&files, sealed(), None);
    let base = Base {
        manifest: first.manifest,
        data_key: Some(key(1)),
    };
    let second = world
        .try_write(&files, Sealing::Sealed(key(2)), Some(base))
        .unwrap();
    assert_eq!(second.new_objects, 1);
    world.check(&world.vault, second.manifest, Some(&key(2)), &files);
    let wrong = world.restore_from(&world.vault, second.manifest, Some(&key(1)));
    assert!(matches!(wrong, Err(VaultError::WrongKey { .. })));
}

#[test]
fn condemned_objects_are_not_referred_to() {
    let mut world = World::new();
    let files = small_tree();
    let first = world.write(&files, sealed(), None);
    let of_first = world.objects(&world.vault);
    for kind in [ObjectKind::Pack, ObjectKind::List] {
        let names = of_first.iter().filter(|entry| entry.kind == kind);
        world.condemned = names.map(|entry| entry.path.clone()).collect::<Condemned>();
        let next = world.write(&files, sealed(), Some(&first));
        assert_eq!(next.new_objects, 3, "{kind}: all of it was written anew");
        world.check(&world.vault, next.manifest, Some(&key(1)), &files);
    }
    world.condemned = of_first.iter().map(|entry| entry.path.clone()).collect();
    let base = Base {
        manifest: first.manifest,
        data_key: Some(key(1)),
    };
    let gone = world.try_write(&files, sealed(), Some(base)).unwrap_err();
    assert!(matches!(gone, VaultError::Missing { .. }), "{gone}");
}

#[test]
fn a_base_of_other_sealing_or_key_is_refused() {
    let world = World::new();
    let first = world.write(&small_tree(), sealed(), None).manifest;
    let base = |data_key| {
        Some(Base {
            manifest: first,
            data_key,
        })
    };
    let refused = |sealing, base| world.try_write(&small_tree(), sealing, base).unwrap_err();
    assert!(matches!(
        refused(sealed(), base(Some(key(3)))),
        VaultError::WrongKey { .. }
    ));
    assert!(matches!(
        refused(sealed(), base(None)),
        VaultError::Sealing { .. }
    ));
    assert!(matches!(
        refused(Sealing::Open, base(Some(key(1)))),
        VaultError::Sealing { .. }
    ));
    assert!(matches!(
        refused(Sealing::Open, base(None)),
        VaultError::Sealing { .. }
    ));
}

#[test]
fn sweeping_by_reach_keeps_every_live_snapshot() {
    let world = World::new();
    let mut content = pages(1, 3 << 20);
    let first = world.write(&one_file(content.clone()), sealed(), None);
    touch(&mut content, 3);
    let second = world.write(&one_file(content.clone()), sealed(), Some(&first));
    touch(&mut content, 2);
    let third = world.write(&one_file(content.clone()), sealed(), Some(&second));
    let run = &world.runtime;
    let (vault, volume) = (&world.vault, &world.volume);
    assert_eq!(
        run.block_on(vault::volumes(vault)).unwrap(),
        std::slice::from_ref(volume)
    );

    // The middle one goes; what only it reached is removed.
    let live = [first.manifest, third.manifest];
    let headers = vault::Headers::remembering(1 << 20);
    let survey = |live: &[model::Hash]| {
        run.block_on(vault::survey(
            vault,
            volume,
            live,
            &world.condemned,
            &headers,
        ))
    };
    let before = survey(&live).unwrap();
    assert_eq!(before.objects, world.objects(vault));
    let (before, reached) = (before.objects, before.reached);
    for entry in before.iter().filter(|entry| !reached.contains(&entry.hash)) {
        run.block_on(vault::delete(vault, &entry.path)).unwrap();
        run.block_on(vault::delete(vault, &entry.path)).unwrap();
    }
    let after = world.objects(vault);
    assert!(after.len() < before.len());
    assert!(after.iter().all(|entry| entry.hash != second.manifest));
    world.check(vault, third.manifest, Some(&key(1)), &one_file(content));
    world.check(
        vault,
        first.manifest,
        Some(&key(1)),
        &one_file(pages(1, 3 << 20)),
    );
    for manifest in live {
        let verified = run
            .block_on(vault::conformance::verify_manifest(
                vault,
                volume,
                manifest,
                &world.condemned,
                &vault::Unobserved,
            ))
            .unwrap();
        let header = run
            .block_on(vault::read_header(
                vault,
                volume,
                manifest,
                &world.condemned,
            ))
            .unwrap();
        assert_eq!(verified.bytes, header.total_bytes);
        assert_eq!(
            verified.objects as usize,
            1 + header.lists.len() + header.packs.len()
        );
        assert!(header.sealed);
    }

    // A header that cannot be read stops everything.
    let live = [first.manifest, second.manifest];
    let stopped = survey(&live);
    assert!(matches!(stopped, Err(VaultError::Missing { .. })));
}

#[test]
fn only_objects_of_volumes_can_be_deleted() {
    let world = World::new();
    for path in ["", "records/x", "volumes", "volumes/a/b/c/packs/x", "../x"] {
        let refused = world.runtime.block_on(vault::delete(&world.vault, path));
        assert!(matches!(refused, Err(VaultError::BadPath { .. })), "{path}");
    }
}
