use std::sync::Arc;

use catalog::{CatalogError, CatalogExt, SqliteCatalog, conformance::samples, keyed};
use kms::MasterKey;
use model::{Drill, SystemClock, Validation, ValidationStatus};

use super::*;
use crate::receipts::{ReceiptKey, issue, public_key, reencrypt};

/// A catalog, its key, and receipts of as many drills.
async fn receipts(count: usize) -> (tempfile::TempDir, SqliteCatalog, MasterKey, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = SqliteCatalog::open(&folder.path().join("catalog"), Arc::new(SystemClock));
    let catalog = catalog.expect("a catalog");
    let master_key = MasterKey::generate();
    let key = ReceiptKey::open(&catalog, &master_key).await.expect("made");
    let key = Arc::new(key);
    let mut made = Vec::new();
    for number in 0..count {
        made.push(issued(&catalog, &key, &format!("drill-{number}")).await);
    }
    (folder, catalog, master_key, made)
}

/// The next receipt.
async fn issued(catalog: &SqliteCatalog, key: &Arc<ReceiptKey>, name: &str) -> String {
    let (key, name) = (Arc::clone(key), name.to_owned());
    let drill = catalog.write(move |tx| {
        let mut drill = samples::drill(&name);
        drill.validation = Some(Validation {
            status: ValidationStatus::Successful,
            message: None,
        });
        issue(tx, &key, &mut drill)?;
        keyed::insert(tx, drill).map(|stored| stored.value)
    });
    let drill: Result<Drill, CatalogError> = drill.await;
    drill.expect("issued").receipt.expect("signed").envelope
}

async fn key_of(catalog: &SqliteCatalog) -> PublicKey {
    let key = public_key(catalog).await.expect("reads");
    let pem = key.expect("there").pem();
    PublicKey::from_pem(&pem).expect("reads again")
}

#[tokio::test]
async fn a_chain_is_whole_or_says_what_it_lacks() {
    let (_folder, catalog, _, all) = receipts(4).await;
    let key = key_of(&catalog).await;
    let told = verify(&all.join("\n"), &key, None).expect("whole");
    let [chain] = told.as_slice() else {
        panic!("one chain, not {told:?}")
    };
    assert_eq!((chain.first, chain.last, chain.successful), (1, 4, 4));
    // In any order, and one of them alone.
    let mut turned = all.clone();
    turned.reverse();
    assert_eq!(
        verify(&turned.join("\n\n"), &key, Some(&chain.sha256)),
        Ok(told.clone())
    );
    assert!(verify(&all[2], &key, None).is_ok());

    let without = |gone: usize| {
        let left = all.iter().enumerate().filter(|(at, _)| *at != gone);
        let left: Vec<&str> = left.map(|(_, one)| one.as_str()).collect();
        left.join("\n")
    };
    assert!(matches!(
        verify(&without(1), &key, None),
        Err(Wrong::Missing {
            before: 1,
            after: 3,
            ..
        })
    ));
    // What is cut off at an end is seen by who knows the newest.
    assert!(matches!(
        verify(&without(0), &key, Some(&chain.sha256)),
        Err(Wrong::NoOldest { number: 2, .. })
    ));
    assert_eq!(
        verify(&without(3), &key, Some(&chain.sha256)),
        Err(Wrong::NoNewest(chain.sha256.clone()))
    );
    assert_eq!(verify("\n", &key, None), Err(Wrong::Empty));
}

#[tokio::test]
async fn any_changed_byte_is_seen() {
    let (_folder, catalog, _, all) = receipts(1).await;
    let key = key_of(&catalog).await;
    assert!(verify(&all[0], &key, None).is_ok());
    for at in 0..all[0].len() {
        let mut bytes = all[0].clone().into_bytes();
        bytes[at] ^= 1;
        let text = String::from_utf8_lossy(&bytes);
        assert!(verify(&text, &key, None).is_err(), "byte {at}: {text}");
    }
    // A member that nothing signs is none.
    let more = all[0].replacen('{', "{\"outcome\":\"SUCCESSFUL\",", 1);
    assert!(matches!(
        verify(&more, &key, None),
        Err(Wrong::NoReceipt { line: 1, .. })
    ));
    let drill = r#"{"DrillIdentifier": "a", "Outcome": "SUCCESSFUL"}"#;
    assert_eq!(verify(drill, &key, None), Err(Wrong::Unsigned { line: 1 }));
}

#[tokio::test]
async fn receipts_of_other_keys_and_chains_do_not_mix() {
    let (_folder, catalog, ..) = receipts(0).await;
    let (_other_folder, other, _, others) = receipts(2).await;
    let key = key_of(&catalog).await;
    assert!(matches!(
        verify(&others[0], &key, None),
        Err(Wrong::OtherKey { line: 1, .. })
    ));
    // With the right name of the key the signature is wrong all the same.
    let named = others[0].replace(&key_of(&other).await.id(), &key.id());
    assert_eq!(verify(&named, &key, None), Err(Wrong::Changed { line: 1 }));
}

#[tokio::test]
async fn a_catalog_that_was_set_back_shows() {
    let (_folder, catalog, master_key, all) = receipts(2).await;
    let key = Arc::new(
        ReceiptKey::open(&catalog, &master_key)
            .await
            .expect("opens"),
    );
    let forgotten: Result<bool, CatalogError> = catalog
        .write(|tx| keyed::delete(tx, &samples::receipt_chain(1)))
        .await;
    assert!(forgotten.expect("set back"));
    let public = key_of(&catalog).await;
    let first = issued(&catalog, &key, "again").await;
    let both = [all[0].clone(), first.clone()].join("\n");
    assert!(matches!(
        verify(&both, &public, None),
        Err(Wrong::Twice { number: 1, .. })
    ));
    let mixed = [first, all[1].clone()].join("\n");
    assert!(matches!(
        verify(&mixed, &public, None),
        Err(Wrong::Broken { number: 2, .. })
    ));
}

#[tokio::test]
async fn a_new_master_key_does_not_change_the_key() {
    let (_folder, catalog, old, all) = receipts(1).await;
    let fresh = MasterKey::generate();
    let both = MasterKey::from_bytes(*fresh.expose()).beside(&old);
    let before = key_of(&catalog).await;
    let done = catalog.write(move |tx| reencrypt(tx, &both)).await;
    done.expect("sealed anew");
    let again = ReceiptKey::open(&catalog, &fresh).await.expect("opens");
    assert_eq!(again.id(), before.id());
    assert!(ReceiptKey::open(&catalog, &old).await.is_err());
    assert!(verify(&all[0], &before, None).is_ok());
    assert!(!format!("{again:?}").contains("pair"));
}
