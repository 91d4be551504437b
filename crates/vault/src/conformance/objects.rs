//! What is written is there, whole, and what is removed is not.
//!
//! It does not know how objects travel between places.
use super::{Fixture, HOME, check, noise, volume, write};
use crate::{
    error::{ObjectKind, VaultError},
    gc::sweep::{ObjectEntry, delete, manifests, objects, volumes},
    store::vault::Vault,
};

fn list(place: &impl Fixture, vault: &Vault) -> Vec<ObjectEntry> {
    let listed = place.runtime().block_on(objects(vault, &volume()));
    listed.expect("lists")
}

/// Listing sees an object as soon as its writer has an answer, with its size and hash, through
/// another opener too.
pub fn what_was_written_is_there_at_once<F: Fixture>() {
    let place = F::new();
    let vault = place.open(HOME);
    assert_eq!(list(&place, &vault), []);
    let first = write(&place, &vault, noise(1, 300_000), None);
    let other = place.open(HOME);
    for vault in [&vault, &other] {
        let found = list(&place, vault);
        assert_eq!(found.len() as u64, first.new_objects);
        let bytes: u64 = found.iter().map(|entry| entry.size).sum();
        assert_eq!(bytes, first.new_bytes);
        let run = place.runtime();
        assert_eq!(run.block_on(volumes(vault)).expect("lists"), [volume()]);
        let roots = run.block_on(manifests(vault, &volume())).expect("lists");
        assert!(roots.len() == 1 && roots.contains(&first.manifest));
        assert_eq!(
            check(&place, vault, first.manifest).expect("reads"),
            first.stored_bytes
        );
    }
    let mut changed = noise(1, 300_000);
    changed[..10].fill(0);
    let second = write(&place, &other, changed, Some(first.manifest));
    assert!(second.new_bytes < first.new_bytes, "it builds on the first");
    for manifest in [first.manifest, second.manifest] {
        check(&place, &vault, manifest).expect("reads");
    }
    let far = place.open(super::FAR);
    assert_eq!(list(&place, &far), [], "each region has its own");
}

/// What is removed is missing, by its name, and removing it again is nothing.
pub fn a_snapshot_needs_every_object_it_reaches<F: Fixture>() {
    let place = F::new();
    let vault = place.open(HOME);
    let written = write(&place, &vault, noise(2, 100_000), None);
    for kind in [ObjectKind::Pack, ObjectKind::List, ObjectKind::Manifest] {
        let found = list(&place, &vault);
        let gone = found
            .iter()
            .find(|entry| entry.kind == kind)
            .expect("one of each");
        for _ in 0..2 {
            let removed = place.runtime().block_on(delete(&vault, &gone.path));
            removed.expect("that it is gone is no error");
        }
        assert_eq!(list(&place, &vault).len(), found.len() - 1);
        let error = check(&place, &vault, written.manifest).expect_err("gone");
        assert!(
            matches!(error, VaultError::Missing { .. }),
            "{kind}: {error}"
        );
    }
    assert_eq!(list(&place, &vault), []);
    let named = place.runtime().block_on(delete(&vault, "volumes/../x"));
    assert!(matches!(named, Err(VaultError::BadPath { .. })));
}
