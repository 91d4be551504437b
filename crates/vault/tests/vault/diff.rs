//! What changed between two snapshots, and what each keeps, without a pack.
use std::collections::{BTreeMap, HashSet};

use model::Hash;
use vault::{DataKey, FileDiff, Headers, ObjectKind, Sealing, Side, Usage, VaultError};

use crate::world::{Files, World, key, pages, sealed, small_tree, touch};

type Counts = (u64, u64, u64);

fn diff_of(
    world: &World,
    before: Hash,
    after: Hash,
    key: Option<&DataKey>,
) -> Result<Option<BTreeMap<String, Counts>>, VaultError> {
    let _entered = world.runtime.enter();
    let side = |manifest| Side {
        vault: &world.vault,
        volume: &world.volume,
        manifest,
        data_key: key,
        condemned: &world.condemned,
    };
    let mut found = BTreeMap::new();
    let each = &mut |file: FileDiff<'_>| {
        let counts = (file.before, file.after, file.changed);
        assert!(found.insert(file.path.to_owned(), counts).is_none());
    };
    let document = vault::diff(side(before), side(after), &|| false, each)?;
    Ok(document.map(|_| found))
}

fn remove_packs(world: &World) {
    for entry in world.objects(&world.vault) {
        if entry.kind == ObjectKind::Pack {
            std::fs::remove_file(world.on_disk(&entry)).expect("removed");
        }
    }
}

#[test]
fn what_changed_is_told_without_any_pack() {
    for (sealing, key) in [(sealed(), Some(key(1))), (Sealing::Open, None)] {
        let world = World::new();
        let first = Files::from([
            ("changes".to_owned(), pages(1, 40 << 20)),
            ("goes".to_owned(), pages(2, 1 << 20)),
            ("grows".to_owned(), pages(3, 33 << 20)),
            ("shrinks".to_owned(), pages(4, 2 << 20)),
            ("stays".to_owned(), pages(5, 3 << 20)),
            ("to_zero".to_owned(), pages(6, 1 << 20)),
        ]);
        let old = world.write(&first, sealing.clone(), None);
        let mut second = first.clone();
        second.remove("goes");
        second.insert("comes".to_owned(), pages(7, 8192 * 3 + 100));
        let touched = touch(second.get_mut("changes").expect("there"), 60);
        second
            .get_mut("grows")
            .expect("there")
            .extend(pages(8, 1 << 20));
        second.get_mut("shrinks").expect("there").truncate(1 << 20);
        second.get_mut("to_zero").expect("there").fill(0);
        let new = world.write(&second, sealing, Some(&old));
        remove_packs(&world);
        let found = diff_of(&world, old.manifest, new.manifest, key.as_ref());
        let found = found.expect("compares").expect("one lineage");
        let of = |bytes: u64| bytes.div_ceil(8192);
        let (mib, all) = (of(1 << 20), of(40 << 20));
        assert_eq!(found["changes"], (all, all, touched));
        assert_eq!(found["goes"], (mib, 0, 0));
        assert_eq!(found["grows"], (33 * mib, 34 * mib, 0));
        assert_eq!(found["shrinks"], (2 * mib, mib, 0));
        assert_eq!(found["stays"], (3 * mib, 3 * mib, 0));
        // Every seventh page was all zero before.
        let was_zero = (0..mib).filter(|number| number % 7 == 6).count() as u64;
        assert_eq!(found["to_zero"], (mib, mib, mib - was_zero));
        assert_eq!(found["comes"], (0, 4, 0));
        let back = diff_of(&world, new.manifest, old.manifest, key.as_ref());
        let back = back.expect("compares").expect("one lineage");
        assert_eq!(back["changes"], (all, all, touched));
        assert_eq!(back["comes"], (4, 0, 0));
    }
}

#[test]
fn what_was_not_touched_needs_no_list_either() {
    let world = World::new();
    let files = Files::from([("base/1/1".to_owned(), pages(1, 40 << 20))]);
    let first = world.write(&files, sealed(), None);
    let second = world.write(&files, sealed(), Some(&first));
    for entry in world.objects(&world.vault) {
        if entry.kind != ObjectKind::Manifest {
            std::fs::remove_file(world.on_disk(&entry)).expect("removed");
        }
    }
    let found = diff_of(&world, first.manifest, second.manifest, Some(&key(1)));
    let found = found.expect("compares").expect("one lineage");
    let blocks = (40 << 20) / 8192;
    assert_eq!(found["base/1/1"], (blocks, blocks, 0));
}

#[test]
fn strangers_are_not_compared_and_damage_is_told() {
    let world = World::new();
    let (one, other) = (
        world.write(&small_tree(), sealed(), None),
        world.write(&small_tree(), sealed(), None),
    );
    let found = diff_of(&world, one.manifest, other.manifest, Some(&key(1)));
    assert!(found.expect("reads").is_none());
    let wrong = diff_of(&world, one.manifest, one.manifest, Some(&key(2)));
    assert!(matches!(wrong, Err(VaultError::WrongKey { .. })));
    let mut changed = small_tree();
    for content in changed.values_mut() {
        content.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let next = world.write(&changed, sealed(), Some(&one));
    for entry in world.objects(&world.vault) {
        if entry.kind == ObjectKind::List {
            std::fs::remove_file(world.on_disk(&entry)).expect("removed");
        }
    }
    let found = diff_of(&world, one.manifest, next.manifest, Some(&key(1)));
    assert!(
        matches!(found, Err(VaultError::Missing { .. })),
        "{found:?}"
    );
}

#[test]
fn what_manifests_keep_is_the_volumes_bytes() {
    let world = World::new();
    let mut content = pages(1, 40 << 20);
    let files = |content: &Vec<u8>| Files::from([("f".to_owned(), content.clone())]);
    let first = world.write(&files(&content), sealed(), None);
    touch(&mut content, 100);
    let second = world.write(&files(&content), sealed(), Some(&first));
    let manifests = [first.manifest, second.manifest];
    let headers = Headers::remembering(1 << 20);
    let usage = |entries_max: usize| -> Option<Usage> {
        let wanted = HashSet::from(manifests);
        let asked = vault::usage(
            &world.vault,
            &world.volume,
            &manifests,
            &wanted,
            entries_max,
            &world.condemned,
            &headers,
        );
        world.runtime.block_on(asked).expect("is read")
    };
    let weighed = usage(10_000).expect("within the bound");
    let on_disk: u64 = world.objects(&world.vault).iter().map(|one| one.size).sum();
    let all: u64 = weighed.objects.iter().map(|(bytes, _)| bytes).sum();
    assert_eq!(all, on_disk);
    let reached = |of: &Hash| -> u64 {
        let objects = weighed.reached[of].iter();
        objects
            .map(|object| weighed.objects[*object as usize].0)
            .sum()
    };
    assert_eq!(reached(&first.manifest), first.stored_bytes);
    assert_eq!(reached(&second.manifest), second.stored_bytes);
    let alone = |of: &Hash| -> u64 {
        let objects = weighed.reached[of]
            .iter()
            .map(|one| weighed.objects[*one as usize]);
        objects
            .filter(|(_, users)| *users == 1)
            .map(|(bytes, _)| bytes)
            .sum()
    };
    assert_eq!(alone(&second.manifest), second.new_bytes);
    assert!(usage(3).is_none(), "more entries than were allowed");
}
