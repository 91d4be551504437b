//! Whatever happens to what is kept, it is noticed.
use model::ErrorKind;
use model::Hash;
use vault::{ObjectKind, Sealing, VaultError};

use crate::world::{Files, World, key, pages, sealed, volume};

fn verify(world: &World, manifest: Hash) -> Result<vault::conformance::Verified, VaultError> {
    world.runtime.block_on(vault::conformance::verify_manifest(
        &world.vault,
        &world.volume,
        manifest,
        &world.condemned,
        &vault::Unobserved,
    ))
}

#[test]
fn any_flipped_bit_of_any_object_is_refused() {
    for (sealing, data_key) in [(sealed(), Some(key(1))), (Sealing::Open, None)] {
        let world = World::new();
        let files = Files::from([("a".to_owned(), pages(1, 5 * 8192))]);
        let manifest = world.write(&files, sealing, None).manifest;
        for entry in world.objects(&world.vault) {
            let path = world.on_disk(&entry);
            let whole = std::fs::read(&path).unwrap();
            let step = (whole.len() / 60).max(1);
            for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
                let mut broken = whole.clone();
                broken[at] ^= 1 << (at % 8);
                std::fs::write(&path, &broken).unwrap();
                let error = world
                    .restore_from(&world.vault, manifest, data_key.as_ref())
                    .expect_err("is noticed");
                assert_eq!(error.kind(), ErrorKind::Repair, "{at}: {error}");
                assert!(error.to_string().contains(&entry.hash.to_string()));
                assert!(verify(&world, manifest).is_err());
            }
            for length in [0, 1, 79, whole.len() - 1] {
                std::fs::write(&path, &whole[..length]).unwrap();
                let short = world.restore_from(&world.vault, manifest, data_key.as_ref());
                assert!(matches!(short, Err(VaultError::Damaged { .. })), "{length}");
            }
            std::fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
            let long = world.restore_from(&world.vault, manifest, data_key.as_ref());
            assert!(matches!(long, Err(VaultError::Damaged { .. })));
            std::fs::remove_file(&path).unwrap();
            let gone = world.restore_from(&world.vault, manifest, data_key.as_ref());
            assert!(
                matches!(gone, Err(VaultError::Missing { object }) if object.hash == entry.hash)
            );
            std::fs::write(&path, &whole).unwrap();
        }
        verify(&world, manifest).unwrap();
        world.check(&world.vault, manifest, data_key.as_ref(), &files);
    }
}

#[test]
fn objects_of_another_volume_are_refused() {
    for (sealing, data_key) in [(sealed(), Some(key(1))), (Sealing::Open, None)] {
        let mut world = World::new();
        let files = Files::from([("a".to_owned(), pages(1, 9 * 8192))]);
        let manifest = world.write(&files, sealing, None).manifest;
        let home = world.volume.to_string();
        let entries = world.objects(&world.vault);
        world.volume = volume(2);
        for entry in entries {
            let moved = world
                .folder
                .path()
                .join("here")
                .join(entry.path.replace(&home, &world.volume.to_string()));
            std::fs::create_dir_all(moved.parent().unwrap()).unwrap();
            std::fs::copy(world.on_disk(&entry), moved).unwrap();
        }
        let error = world
            .restore_from(&world.vault, manifest, data_key.as_ref())
            .unwrap_err();
        assert!(
            matches!(&error, VaultError::Damaged { object, why }
                if object.kind == ObjectKind::Manifest && why.contains("another volume")),
            "{error}"
        );
    }
}

#[test]
fn a_missing_manifest_is_named() {
    let world = World::new();
    let hash = Hash([7; 32]);
    let error = verify(&world, hash).unwrap_err();
    assert!(matches!(error, VaultError::Missing { .. }));
    assert_eq!(
        error.to_string(),
        format!("manifest {hash} is not in the vault")
    );
}
