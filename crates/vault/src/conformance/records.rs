//! Records beside the volumes.
//!
//! It does not know what is in them.
use bytes::Bytes;

use super::{Fixture, HOME};
use crate::{
    error::VaultError,
    store::records::{delete_record, get_record, list_records, put_record},
};

const NAME: &str = "records/a/1";

/// A name keeps the bytes that it was first given.
pub fn records_are_written_once<F: Fixture>() {
    let place = F::new();
    let (vault, run) = (place.open(HOME), place.runtime());
    let put = |bytes: &'static [u8]| run.block_on(put_record(&vault, NAME, Bytes::from(bytes)));
    let get = || {
        run.block_on(get_record(&place.open(HOME), NAME))
            .expect("answers")
    };
    assert_eq!(get(), None);
    put(b"one").expect("writes");
    assert_eq!(get().as_deref(), Some(&b"one"[..]));
    put(b"one").expect("the same again is nothing");
    let error = put(b"two").expect_err("other bytes");
    assert!(matches!(error, VaultError::Conflict { .. }), "{error}");
    assert_eq!(get().as_deref(), Some(&b"one"[..]));
    for wrong in ["volumes/x", "records/../x", "records", "/records/x"] {
        let refused = run.block_on(put_record(&vault, wrong, Bytes::new()));
        assert!(
            matches!(refused, Err(VaultError::BadPath { .. })),
            "{wrong}"
        );
    }
}

/// A folder lists what lies below it, and no more.
pub fn records_are_listed_and_removed<F: Fixture>() {
    let place = F::new();
    let (vault, run) = (place.open(HOME), place.runtime());
    for name in ["records/a/1", "records/a/2", "records/ab/3", "keys/4"] {
        let written = run.block_on(put_record(&vault, name, Bytes::from_static(b"x")));
        written.expect("writes");
    }
    let list = |folder: &str| -> Vec<String> {
        let found = run.block_on(list_records(&vault, folder)).expect("lists");
        let mut names: Vec<_> = found.into_iter().map(|entry| entry.path).collect();
        names.sort();
        names
    };
    assert_eq!(
        list("records"),
        ["records/a/1", "records/a/2", "records/ab/3"]
    );
    assert_eq!(list("records/a"), ["records/a/1", "records/a/2"]);
    assert_eq!(list("keys"), ["keys/4"]);
    for _ in 0..2 {
        let removed = run.block_on(delete_record(&vault, "records/a/1"));
        removed.expect("that it is gone is no error");
    }
    assert_eq!(list("records/a"), ["records/a/2"]);
}
