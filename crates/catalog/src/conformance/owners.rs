//! Grants, rotations and accounts.
//!
//! It does not know what a grant permits, nor how a key is rotated.
use model::{
    BackupSettings, Cluster, Grant, Key, KeyManager, KeyState, LegalHold, Snapshot, Timestamp,
    key::{MultiRegion, RotationPlan},
    legal_hold::Cancelled,
};

use super::{Fixture, read, samples, write};
use crate::{
    error::CatalogError,
    tables::{
        access_keys::{self, AccessKey, AccessKeyStatus},
        accounts, clusters, grants, keyed, keys,
        stored::Stored,
    },
};

fn grant(key: &str, id: &str, to: u8) -> Grant {
    Grant {
        key: samples::key_arn(key),
        id: id.to_owned(),
        token: format!("token-{id}"),
        name: String::new(),
        grantee: samples::account(to).to_string(),
        grantee_account: samples::account(to),
        retiring: None,
        retiring_account: None,
        issuer: samples::account(1),
        operations: vec!["Decrypt".to_owned()],
        context_equals: None,
        context_subset: None,
        created_at: Timestamp(1),
    }
}

/// Grants are found by key, grantee and id, and end with their key.
pub async fn grants_live_and_die_with_their_key(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let (j, k) = (samples::key_arn("j"), samples::key_arn("k"));
    write(&catalog, |tx| {
        for key in ["j", "k"] {
            keys::insert(tx, samples::key(key))?;
        }
        for grant in [grant("k", "1", 2), grant("k", "2", 3), grant("j", "3", 2)] {
            grants::insert(tx, grant)?;
        }
        Ok(())
    })
    .await;
    let again = catalog_conflict(&catalog).await;
    assert!(again, "a grant's id was taken twice");
    let arn = k.clone();
    let (listed, later, found, foreign) = read(&catalog, move |tx| {
        Ok((
            grants::list(tx, &arn, None, 10)?,
            grants::list(tx, &arn, Some("1"), 10)?,
            grants::to(tx, &arn, &samples::account(2), 10)?,
            grants::get(tx, &arn, "3")?,
        ))
    })
    .await;
    assert_eq!((listed.len(), later.len(), found.len()), (2, 1, 1));
    assert_eq!(found[0].value, grant("k", "1", 2));
    assert_eq!(foreign, None, "a grant was found under another key");
    let (first, second, left, others) = write(&catalog, move |tx| {
        let first = grants::delete(tx, &k, "1")?;
        let second = grants::delete(tx, &k, "1")?;
        keys::delete(tx, &samples::region(), &samples::account(1), "k")?;
        Ok((
            first,
            second,
            grants::list(tx, &k, None, 10)?,
            grants::list(tx, &j, None, 10)?,
        ))
    })
    .await;
    assert!(first && !second);
    assert!(left.is_empty() && others.len() == 1);
}

async fn catalog_conflict(catalog: &std::sync::Arc<dyn crate::Catalog>) -> bool {
    use crate::CatalogExt;
    let again = catalog.write(|tx| grants::insert(tx, grant("k", "1", 4)));
    matches!(again.await, Err(crate::CatalogError::Conflict { .. }))
}

/// A key is due for rotation at its date, and only while it is in use.
pub async fn rotations_come_due(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let due = write(&catalog, |tx| {
        let plan = |next_at| {
            Some(RotationPlan {
                period_days: 365,
                next_at,
            })
        };
        let now = tx.now();
        let later = now.plus(std::time::Duration::from_secs(3_600));
        for (id, state, rotation) in [
            ("due", KeyState::Enabled, plan(now)),
            ("later", KeyState::Enabled, plan(later)),
            ("off", KeyState::Disabled, plan(now)),
            ("never", KeyState::Enabled, None),
        ] {
            let mut key = samples::key(id);
            key.state = state;
            key.rotation = rotation;
            keys::insert(tx, key)?;
        }
        keys::due_for_rotation(tx, 10)
    })
    .await;
    let ids: Vec<&str> = due.iter().map(|stored| stored.value.id.as_str()).collect();
    assert_eq!(ids, ["due"]);
    let due = write(&catalog, move |tx| {
        let mut stored = due[0].clone();
        stored.value.rotation = None;
        keys::update(tx, stored)?;
        keys::due_for_rotation(tx, 10)
    })
    .await;
    assert!(due.is_empty());
}

/// A multi-Region key's records are found together; the last replica's end begins its primary's
/// waiting period; and of several primaries the last one written stays.
pub async fn multi_region_keys(fixture: &impl Fixture) {
    const ID: &str = "mrk-1";
    fn key(region: &str, role: MultiRegion) -> Key {
        Key {
            region: region.parse().expect("legal"),
            multi_region: Some(role),
            ..samples::key(ID)
        }
    }
    fn roles(tx: &mut dyn crate::Tx) -> Result<Vec<(String, Option<MultiRegion>)>, CatalogError> {
        let found = keys::family(tx, &key("eu-west-1", MultiRegion::Replica))?;
        let role =
            |stored: &Stored<Key>| (stored.value.region.to_string(), stored.value.multi_region);
        Ok(found.iter().map(role).collect())
    }
    let catalog = fixture.open();
    let (alone, waits, begun) = write(&catalog, |tx| {
        keys::insert(tx, samples::key("single"))?;
        let mut primary = key("us-east-1", MultiRegion::Primary);
        primary.state = KeyState::PendingReplicaDeletion;
        primary.pending_window_days = Some(7);
        keys::insert(tx, primary)?;
        for region in ["eu-west-1", "eu-central-1"] {
            keys::insert(tx, key(region, MultiRegion::Replica))?;
        }
        assert_eq!(
            keys::family(tx, &key("us-east-1", MultiRegion::Primary))?.len(),
            3
        );
        let alone = keys::family(tx, &samples::key("single"))?.len();
        let mut begun = Vec::new();
        for region in ["eu-west-1", "eu-central-1"] {
            let replica = key(region, MultiRegion::Replica);
            keys::delete(tx, &replica.region, &replica.account, ID)?;
            begun.push(keys::replica_gone(tx, &replica)?);
        }
        let waits = keys::family(tx, &key("us-east-1", MultiRegion::Primary))?;
        Ok((alone, waits, begun))
    })
    .await;
    assert_eq!((alone, waits.len()), (1, 1));
    assert!(begun[0].is_none() && begun[1] == Some(waits[0].value.arn()));
    assert_eq!(waits[0].value.state, KeyState::PendingDeletion);
    assert!(waits[0].value.deletion_at.is_some() && waits[0].value.pending_window_days.is_none());

    // As two regions' record logs may leave it: one lacks the change of the primary, or both do.
    let (two, none, one) = write(&catalog, |tx| {
        keys::insert(tx, key("eu-west-1", MultiRegion::Primary))?;
        keys::settle_primaries(tx)?;
        let two = roles(tx)?;
        for stored in keys::family(tx, &key("eu-west-1", MultiRegion::Primary))? {
            let mut stored = stored;
            stored.value.multi_region = Some(MultiRegion::Replica);
            keys::update(tx, stored)?;
        }
        keys::settle_primaries(tx)?;
        let none = roles(tx)?;
        keys::settle_primaries(tx)?;
        Ok((two, none, roles(tx)?))
    })
    .await;
    let (primary, replica) = (Some(MultiRegion::Primary), Some(MultiRegion::Replica));
    let names = ["eu-west-1", "us-east-1"].map(str::to_owned);
    assert_eq!(
        two,
        names
            .clone()
            .into_iter()
            .zip([primary, replica])
            .collect::<Vec<_>>()
    );
    assert_eq!(
        none,
        names
            .into_iter()
            .zip([replica, primary])
            .collect::<Vec<_>>()
    );
    assert_eq!(one, none);
}

/// What an account owns is counted; one that is deleted takes its keys along.
pub async fn accounts_and_their_holdings(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let (new, again, holdings, empty) = write(&catalog, |tx| {
        let (one, two) = (samples::account(1), samples::account(2));
        let new = accounts::ensure(tx, &one, "first")?;
        let again = accounts::ensure(tx, &one, "other")?;
        accounts::ensure(tx, &two, "")?;
        keyed::insert(tx, BackupSettings::of(&samples::region(), &two))?;
        let mut hold = samples::legal_hold("h");
        hold.account = two.clone();
        let mut hold = keyed::insert(tx, hold)?;
        assert_eq!(crate::holdings::of_account(tx, &two)?.of::<LegalHold>(), 1);
        hold.value.cancelled = Some(Cancelled {
            at: Timestamp(1),
            why: String::new(),
            retain_until: None,
        });
        keyed::update(tx, hold)?;
        clusters::insert(tx, samples::cluster("c"))?;
        keys::insert(tx, samples::key("own"))?;
        let mut managed = samples::key("managed");
        managed.manager = KeyManager::Aws;
        keys::insert(tx, managed)?;
        for (id, account) in [("AKIA1", &one), ("AKIA2", &two)] {
            access_keys::insert(
                tx,
                &AccessKey {
                    id: id.to_owned(),
                    account: account.clone(),
                    sealed_secret: vec![1],
                    status: AccessKeyStatus::Active,
                    created_at: Timestamp(1),
                },
            )?;
        }
        let holdings = crate::holdings::of_account(tx, &one)?;
        Ok((new, again, holdings, crate::holdings::of_account(tx, &two)?))
    })
    .await;
    assert!(new && !again);
    assert_eq!((holdings.access_keys, holdings.of::<Cluster>()), (1, 1));
    assert_eq!((holdings.of::<Key>(), holdings.of::<Snapshot>()), (1, 0));
    assert!(!holdings.is_empty() && empty.is_empty());
    let (gone, unknown, left, keys_left) = write(&catalog, |tx| {
        let gone = accounts::delete(tx, &samples::account(2))?;
        let unknown = accounts::delete(tx, &samples::account(2))?;
        let settings = keyed::list::<BackupSettings>(tx, &samples::region(), &[], 9)?;
        assert_eq!(settings, []);
        let holds = keyed::list::<LegalHold>(tx, &samples::region(), &[], 9)?;
        assert_eq!(holds, []);
        Ok((
            gone,
            unknown,
            accounts::list(tx, 10)?,
            access_keys::list(tx, None, 10)?,
        ))
    })
    .await;
    assert!(gone && !unknown);
    assert_eq!((left.len(), left[0].name.as_str()), (1, "first"));
    assert_eq!(keys_left.len(), 1);
}
