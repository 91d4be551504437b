//! Checking a snapshot: damage is told by object, file and bytes, and nothing else is.
use std::collections::HashSet;

use vault::{
    Check, Checked, DataKey, ObjectKind, Passed, Sealing, Unobserved, VaultError, Written,
};

use crate::world::{Files, World, key, pages, sealed, small_tree, touch};

fn look(
    world: &World,
    written: &Written,
    data_key: Option<&DataKey>,
    read_data: bool,
    passed: &Passed,
) -> Result<Checked, VaultError> {
    let _entered = world.runtime.enter();
    let check = Check {
        vault: &world.vault,
        volume: &world.volume,
        manifest: written.manifest,
        data_key,
        read_data,
        sample_percent: 100,
        condemned: &world.condemned,
        passed,
    };
    vault::check(check, &Unobserved)
}

#[test]
fn what_is_whole_passes_once() {
    let world = World::new();
    let mut files = small_tree();
    let first = world.write(&files, sealed(), None);
    touch(files.get_mut("base/1/1255").unwrap(), 30);
    let second = world.write(&files, sealed(), Some(&first));
    let (passed, mut known) = (Passed::default(), HashSet::new());
    for (written, objects, again) in [(&first, 3, 1), (&second, 3, 1)] {
        let key = key(1);
        for read_data in [true, false] {
            let known = Passed::before(known.clone());
            let found = look(&world, written, Some(&key), read_data, &known).unwrap();
            assert!(found.damage.is_empty(), "{found:?}");
            assert_eq!(found.objects, objects, "{found:?}");
            assert_eq!(known.take_new().len() as u64, objects - 1);
        }
        look(&world, written, Some(&key), true, &passed).unwrap();
        known.extend(passed.take_new().into_iter().map(|(hash, _)| hash));
        let found = look(&world, written, Some(&key), true, &passed).unwrap();
        assert_eq!(found.objects, again);
    }
    let found = look(&world, &second, None, false, &Passed::default()).unwrap();
    assert_eq!((found.objects, found.bytes), (5, second.stored_bytes));
    let wrong = look(&world, &second, Some(&key(2)), true, &Passed::default());
    assert!(matches!(wrong, Err(VaultError::WrongKey { .. })));
}

#[test]
fn damage_is_told_by_file_and_bytes() {
    for (sealing, data_key) in [(sealed(), Some(key(1))), (Sealing::Open, None)] {
        let world = World::new();
        let mut files = Files::from([
            ("a".to_owned(), pages(1, 100 * 8192)),
            ("b".to_owned(), pages(2, 33 << 20)),
        ]);
        let first = world.write(&files, sealing.clone(), None);
        let before: HashSet<String> = world
            .objects(&world.vault)
            .into_iter()
            .map(|object| object.path)
            .collect();
        let content = files.get_mut("b").unwrap();
        content[8192 * 1000 + 5] ^= 1;
        content[8192 * 1001 + 5] ^= 1;
        content[8192 * 3000 + 5] ^= 1;
        let second = world.write(&files, sealing, Some(&first));
        let new = world.objects(&world.vault);
        let new = new.iter().filter(|object| !before.contains(&object.path));
        for object in new.filter(|object| object.kind != ObjectKind::Manifest) {
            let path = world.on_disk(object);
            let whole = std::fs::read(&path).unwrap();
            let mut bytes = whole.clone();
            *bytes.last_mut().unwrap() ^= 4;
            std::fs::write(&path, &bytes).unwrap();
            for read_data in [true, false] {
                let none = Passed::default();
                let found = look(&world, &second, data_key.as_ref(), read_data, &none).unwrap();
                let [damage] = found.damage.as_slice() else {
                    panic!("{found:?}")
                };
                assert_eq!(
                    (damage.object.kind, damage.object.hash),
                    (object.kind, object.hash)
                );
                let ranges: Vec<(&str, u64, u64)> = damage
                    .files
                    .iter()
                    .map(|lost| (lost.path.as_str(), lost.start / 8192, lost.end / 8192))
                    .collect();
                match object.kind {
                    ObjectKind::Pack => assert_eq!(ranges, [("b", 1000, 1002), ("b", 3000, 3001)]),
                    _ => assert_eq!(ranges, [("b", 0, 4096)]),
                }
                let old = look(&world, &first, data_key.as_ref(), read_data, &none).unwrap();
                assert!(
                    old.damage.is_empty(),
                    "the first snapshot does not reach it"
                );
            }
            std::fs::write(&path, &whole).unwrap();
        }
    }
}
