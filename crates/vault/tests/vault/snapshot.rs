//! Snapshots in and out again.
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::Arc,
};

use model::ErrorKind;
use proptest::prelude::*;
use vault::{Sealing, VaultError};

use crate::world::{Files, Watch, World, add, key, pages, sealed, small_tree};

#[test]
fn a_small_tree_comes_back() {
    let world = World::new();
    for (sealing, key) in [(sealed(), Some(key(1))), (Sealing::Open, None)] {
        let files = small_tree();
        let written = world.write(&files, sealing, None);
        let logical: usize = files.values().map(Vec::len).sum();
        assert_eq!(written.logical_bytes, logical as u64);
        assert_eq!(written.new_bytes, written.stored_bytes);
        assert_eq!(written.new_objects, 3, "a pack, a list, a manifest");
        world.check(&world.vault, written.manifest, key.as_ref(), &files);
    }
}

#[test]
fn many_packs_and_segments_come_back() {
    let world = World::new();
    let files = Files::from([
        ("a".to_owned(), pages(1, (32 << 20) + 12_345)),
        ("b".to_owned(), pages(2, 64 << 20)),
        ("c".to_owned(), pages(3, 5 << 20)),
    ]);
    let written = world.write(&files, sealed(), None);
    assert!(5 <= written.new_objects, "{written:?}");
    for entry in world.objects(&world.vault) {
        assert!(entry.size <= 16 << 20);
    }
    world.check(&world.vault, written.manifest, Some(&key(1)), &files);
}

/// A file of zeros, but for one page in every thousand, which holds its own number.
struct Sparse(u64);

impl model::pages::Content for Sparse {
    fn size(&self) -> u64 {
        self.0 * 8192
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        for (number, page) in (offset / 8192..).zip(buffer.chunks_mut(8192)) {
            page.fill(0);
            if number % 1000 == 3 {
                page[..8].copy_from_slice(&number.to_le_bytes());
            }
        }
        Ok(buffer.len())
    }
}

#[test]
fn much_data_in_one_pack_closes_it_for_the_lists_that_wait() {
    let world = World::new();
    let watch = Arc::new(Watch::default());
    let pages = (5 << 16) + 77;
    let mut base = None;
    for _ in 0..2 {
        let mut writer = world.begin(sealed(), base.clone(), &watch).unwrap();
        let _entered = world.runtime.enter();
        writer
            .file("sparse", 0o600, Arc::new(Sparse(pages)))
            .unwrap();
        let written = writer.finish(String::new()).unwrap();
        match base {
            None => assert_eq!(written.new_objects, 3 + 6 + 1, "{written:?}"),
            Some(_) => assert_eq!(written.new_objects, 1, "{written:?}"),
        }
        let into = tempfile::tempdir_in(world.folder.path()).unwrap();
        vault::restore(
            &world.vault,
            &world.volume,
            written.manifest,
            Some(&key(1)),
            &world.condemned,
            into.path(),
            &vault::Unobserved,
        )
        .unwrap();
        let file = std::fs::File::open(into.path().join("sparse")).unwrap();
        assert_eq!(file.metadata().unwrap().len(), pages * 8192);
        for page in (0..pages).filter(|page| page % 250 == 3 || page % 4099 == 0) {
            let mut found = [0; 8];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, page * 8192).unwrap();
            let expected = if page % 1000 == 3 { page } else { 0 };
            assert_eq!(u64::from_le_bytes(found), expected);
        }
        base = Some(vault::Base {
            manifest: written.manifest,
            data_key: Some(key(1)),
        });
    }
}

#[test]
fn nothing_readable_is_in_a_sealed_vault() {
    let world = World::new();
    let secret = b"the quick brown fox".repeat(1000);
    let files = Files::from([("secret_name".to_owned(), secret)]);
    world.write(&files, sealed(), None);
    for entry in world.objects(&world.vault) {
        let bytes = std::fs::read(world.on_disk(&entry)).unwrap();
        for text in [b"brown".as_slice(), b"secret_name"] {
            assert!(
                !bytes.windows(text.len()).any(|w| w == text),
                "{}",
                entry.kind
            );
        }
    }
}

#[test]
fn the_same_content_never_has_the_same_names() {
    let world = World::new();
    let files = small_tree();
    for sealing in [sealed(), Sealing::Open] {
        let a = world.write(&files, sealing.clone(), None);
        let b = world.write(&files, sealing, None);
        assert_ne!(a.manifest, b.manifest);
    }
    let entries = world.objects(&world.vault);
    let hashes: std::collections::HashSet<_> = entries.iter().map(|e| e.hash).collect();
    assert_eq!(hashes.len(), 12, "four snapshots, three objects each");
}

#[test]
fn keys_and_sealing_are_checked() {
    let world = World::new();
    let a = world.write(&small_tree(), sealed(), None).manifest;
    let wrong = world
        .restore_from(&world.vault, a, Some(&key(2)))
        .unwrap_err();
    assert!(matches!(wrong, VaultError::WrongKey { .. }), "{wrong}");
    assert_eq!(wrong.kind(), ErrorKind::Refuse);
    let none = world.restore_from(&world.vault, a, None).unwrap_err();
    assert!(
        matches!(none, VaultError::Sealing { sealed: true, .. }),
        "{none}"
    );
    let b = world.write(&small_tree(), Sealing::Open, None).manifest;
    let extra = world
        .restore_from(&world.vault, b, Some(&key(1)))
        .unwrap_err();
    assert!(
        matches!(extra, VaultError::Sealing { sealed: false, .. }),
        "{extra}"
    );
}

#[test]
fn paths_outside_the_snapshot_are_refused() {
    let world = World::new();
    let watch = Arc::new(Watch::default());
    let mut writer = world.begin(sealed(), None, &watch).unwrap();
    let _entered = world.runtime.enter();
    writer.directory("d", 0o700).unwrap();
    writer.file("d/f", 0o600, Arc::new(b"x".to_vec())).unwrap();
    for path in ["../x", "/x", "d/../x", "", "d", "d/f", "unknown/x", "d/f/x"] {
        let refused = writer
            .file(path, 0o600, Arc::new(b"y".to_vec()))
            .unwrap_err();
        assert!(
            matches!(refused, VaultError::BadPath { .. }),
            "{path}: {refused}"
        );
    }
    writer.finish(String::new()).unwrap();
}

#[test]
fn a_failed_read_ends_the_writer() {
    struct Failing;
    impl model::pages::Content for Failing {
        fn size(&self) -> u64 {
            1 << 20
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
            buffer.fill(5);
            match offset {
                786_432 => Err(std::io::Error::other("gone")),
                _ => Ok(buffer.len()),
            }
        }
    }
    let world = World::new();
    let watch = Arc::new(Watch::default());
    let mut writer = world.begin(sealed(), None, &watch).unwrap();
    let _entered = world.runtime.enter();
    writer.file("f", 0o600, Arc::new(Failing)).unwrap();
    let error = writer.settle().unwrap_err();
    assert!(
        matches!(&error, VaultError::Source { path, offset: 786_432, .. } if path == "f"),
        "{error}"
    );
    let next = writer.file("g", 0o600, Arc::new(b"x".to_vec()));
    assert!(matches!(next, Err(VaultError::Spent)));
    assert!(matches!(
        writer.finish(String::new()),
        Err(VaultError::Spent)
    ));
}

#[test]
fn a_store_that_refuses_ends_the_writer() {
    let world = World::new();
    let here = world.folder.path().join("here");
    let folder = here.join("volumes").join(world.volume.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("packs"), b"in the way").unwrap();
    let error = world.try_write(&small_tree(), sealed(), None).unwrap_err();
    assert!(matches!(error, VaultError::Store { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Retry);
    std::fs::remove_file(folder.join("packs")).unwrap();
    let manifests = world.objects(&world.vault).into_iter();
    let manifests = manifests.filter(|entry| entry.kind == vault::ObjectKind::Manifest);
    assert_eq!(manifests.count(), 0, "no manifest without what it reaches");
}

#[test]
fn a_stop_ends_writing_and_restoring() {
    let world = World::new();
    let files = Files::from([("a".to_owned(), pages(1, 4 << 20))]);
    let watch = Arc::new(Watch::stopping_at(1 << 20));
    let mut writer = world.begin(sealed(), None, &watch).unwrap();
    let entered = world.runtime.enter();
    assert!(matches!(add(&mut writer, &files), Err(VaultError::Stopped)));
    drop((writer, entered));
    assert!(
        world.objects(&world.vault).is_empty(),
        "nothing became visible"
    );

    let written = world.write(&files, sealed(), None);
    let _entered = world.runtime.enter();
    let watch = Watch::stopping_at(1 << 20);
    let into = world.folder.path().join("into");
    let (vault, volume) = (&world.vault, &world.volume);
    let ended = vault::restore(
        vault,
        volume,
        written.manifest,
        Some(&key(1)),
        &world.condemned,
        &into,
        &watch,
    );
    assert!(matches!(ended, Err(VaultError::Stopped)));
}

#[test]
fn modes_holes_and_empty_directories_come_back() {
    let world = World::new();
    let watch = Arc::new(Watch::default());
    let mut writer = world.begin(Sealing::Open, None, &watch).unwrap();
    let _entered = world.runtime.enter();
    writer.directory("empty", 0o750).unwrap();
    writer.directory("closed", 0o500).unwrap();
    writer
        .file("closed/f", 0o4440, Arc::new(b"x".to_vec()))
        .unwrap();
    let zeros = vec![0; 1 << 20];
    writer
        .file("zeros", 0o600, Arc::new(zeros.to_vec()))
        .unwrap();
    let written = writer.finish("doc".to_owned()).unwrap();
    let into = world.folder.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let (vault, volume) = (&world.vault, &world.volume);
    vault::restore(
        vault,
        volume,
        written.manifest,
        None,
        &world.condemned,
        &into,
        &vault::Unobserved,
    )
    .unwrap();
    let mode = |path: &str| {
        std::fs::metadata(into.join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(
        (mode("empty"), mode("closed"), mode("closed/f")),
        (0o750, 0o500, 0o440)
    );
    let zeros = std::fs::metadata(into.join("zeros")).unwrap();
    assert_eq!((zeros.len(), zeros.blocks()), (1 << 20, 0));
    let again = vault::restore(
        vault,
        volume,
        written.manifest,
        None,
        &world.condemned,
        &into,
        &vault::Unobserved,
    );
    assert!(
        matches!(again, Err(VaultError::BadPath { .. })),
        "the folder is not empty"
    );
}

#[test]
fn an_in_memory_store_serves_too() {
    let mut world = World::new();
    world.vault = vault::Vault::new(Arc::new(object_store::memory::InMemory::new()));
    let files = small_tree();
    let written = world.write(&files, sealed(), None);
    world.check(&world.vault, written.manifest, Some(&key(1)), &files);
    let to = world.other_vault("there");
    world
        .ship(&to, written.manifest, None, &Watch::default())
        .unwrap();
    world.check(&to, written.manifest, Some(&key(1)), &files);
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..100),
        (any::<u64>(), 0_usize..600_000).prop_map(|(seed, bytes)| pages(seed, bytes)),
        (any::<u8>(), 0_usize..40_000).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 16))]
    #[test]
    fn any_tree_comes_back_also_on_a_base(
        first in proptest::collection::btree_map("[a-d](/[a-d]){0,1}[0-9]", content(), 0..8),
        second in proptest::collection::btree_map("[a-d](/[a-d]){0,1}[0-9]", content(), 0..8),
        sealed_volume: bool,
    ) {
        let world = World::new();
        let sealing = if sealed_volume { sealed() } else { Sealing::Open };
        let data_key = sealed_volume.then(|| key(1));
        let base = world.write(&first, sealing.clone(), None);
        // Half of the first tree stays, so that there is something to refer to.
        let mut next = second;
        next.extend(first.iter().step_by(2).map(|(path, content)| (path.clone(), content.clone())));
        let written = world.write(&next, sealing, Some(&base));
        world.check(&world.vault, base.manifest, data_key.as_ref(), &first);
        world.check(&world.vault, written.manifest, data_key.as_ref(), &next);
    }
}

#[test]
fn a_file_that_was_taken_back_is_gone_and_so_is_what_only_it_needed() {
    let world = World::new();
    let watch = Arc::new(Watch::default());
    let mut files = Files::from([
        ("a".to_owned(), pages(1, 5 << 20)),
        ("b".to_owned(), pages(2, 70 << 20)),
        ("c".to_owned(), pages(3, 3 << 20)),
    ]);
    // Shares blocks with one that stays.
    files.insert("d".to_owned(), files["a"].clone());
    let whole = world.write(&files, sealed(), None);
    for base in [None, Some(&whole)] {
        let base = base.map(|written| vault::Base {
            manifest: written.manifest,
            data_key: Some(key(1)),
        });
        let mut writer = world.begin(sealed(), base, &watch).unwrap();
        let _entered = world.runtime.enter();
        add(&mut writer, &files).unwrap();
        for path in ["b", "d"] {
            writer.leave_out(path).unwrap();
            let again = writer.leave_out(path).unwrap_err();
            assert!(matches!(again, VaultError::BadPath { .. }), "{again}");
        }
        let written = writer.finish("{\"files\":2}".to_owned()).unwrap();
        let mut kept = files.clone();
        kept.retain(|path, _| !["b", "d"].contains(&path.as_str()));
        assert_eq!(written.logical_bytes, 8 << 20);
        assert!(
            written.stored_bytes + (10 << 20) < whole.stored_bytes,
            "{written:?}"
        );
        world.check(&world.vault, written.manifest, Some(&key(1)), &kept);
        // The next one may build on it.
        let next = world.write(&files, sealed(), Some(&written));
        world.check(&world.vault, next.manifest, Some(&key(1)), &files);
    }
}
