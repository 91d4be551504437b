//! The suite that every place of a vault must pass, a folder or a bucket of any store.
//!
//! It does not know the store: it is given a [`Fixture`] that opens vaults on a fresh one.
//!
//! Cases panic where a place is wrong. [`vault_conformance_tests!`](crate::vault_conformance_tests)
//! makes a test of each.
pub mod copies;
pub mod objects;
pub mod records;
mod verify;

use std::sync::Arc;

use model::{Hash, VolumeRef};
use tokio::runtime::Runtime;

use crate::{
    error::VaultError,
    format::seal::{DataKey, Sealing},
    observer::Unobserved,
    store::{names::Condemned, vault::Vault},
    write::{Base, SnapshotWriter, WriteOptions, Written},
};

pub use verify::{Verified, verify_manifest};

/// A fresh place for vaults.
pub trait Fixture {
    /// With nothing in it.
    fn new() -> Self;
    /// What the vaults' requests run on.
    fn runtime(&self) -> &Runtime;
    /// Opens the vault of a region there; may be called again, also while another is open.
    fn open(&self, region: &str) -> Vault;
}

/// Makes a test of each case, for one fixture.
#[macro_export]
macro_rules! vault_conformance_tests {
    ($fixture:ty) => {
        $crate::vault_conformance_tests!(@each $fixture, objects:
            what_was_written_is_there_at_once, a_snapshot_needs_every_object_it_reaches);
        $crate::vault_conformance_tests!(@each $fixture, records:
            records_are_written_once, records_are_listed_and_removed);
        $crate::vault_conformance_tests!(@each $fixture, copies:
            a_copy_moves_what_is_missing, a_copy_over_a_link_moves_the_same);
    };
    (@each $fixture:ty, $module:ident: $($case:ident),+) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::$module::$case::<$fixture>();
            }
        )+
    };
}

/// The region that cases write in, and one that they copy to.
const HOME: &str = "us-east-1";
const FAR: &str = "eu-west-1";

fn volume() -> VolumeRef {
    VolumeRef {
        origin: HOME.parse().expect("a region"),
        account: "123456789012".parse().expect("an account"),
        id: "5e4a1f3e-0000-4000-8000-000000000001"
            .parse()
            .expect("an id"),
    }
}

fn key() -> DataKey {
    DataKey::from_bytes([1; 32])
}

/// Bytes that do not compress, so that an object is about as large as they are.
fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut noise);
    noise
}

/// Writes a snapshot of one file.
fn write(place: &impl Fixture, vault: &Vault, content: Vec<u8>, base: Option<Hash>) -> Written {
    let _entered = place.runtime().enter();
    let base = base.map(|manifest| Base {
        manifest,
        data_key: Some(key()),
    });
    let options = WriteOptions {
        memory_bytes: 0,
        observer: Arc::new(Unobserved),
    };
    let (sealing, none) = (Sealing::Sealed(key()), Condemned::new());
    let begun = SnapshotWriter::begin(vault, &volume(), sealing, base, &none, options);
    let mut writer = begun.expect("begins");
    writer.directory("base", 0o700).expect("is taken");
    writer
        .file("base/1", 0o600, Arc::new(content))
        .expect("is taken");
    writer.finish("{}".to_owned()).expect("is written")
}

/// Reads a snapshot whole.
fn check(place: &impl Fixture, vault: &Vault, manifest: Hash) -> Result<u64, VaultError> {
    let _entered = place.runtime().enter();
    let check = crate::Check {
        vault,
        volume: &volume(),
        manifest,
        data_key: Some(&key()),
        read_data: true,
        sample_percent: 100,
        condemned: &Condemned::new(),
        passed: &crate::Passed::default(),
    };
    let checked = crate::check(check, &Unobserved)?;
    match checked.damage.into_iter().next() {
        Some(damage) => Err(damage.error),
        None => Ok(checked.bytes),
    }
}
