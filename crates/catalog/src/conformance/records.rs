//! Records: names, versions, and finding them again.
//!
//! It does not know what happens at once: see `commits`.
use model::{
    ClusterStatus, Hash, InstanceRole, KeyState, SnapshotStatus, Timestamp, cluster::Base,
};

use super::{Fixture, read, samples, write};
use crate::{
    error::{CatalogError, ErrorKind},
    tables::{
        access_keys::{self, AccessKey, AccessKeyStatus},
        clusters,
        instances::{self, Member},
        jobs,
        keys::{self, Alias},
        meta, outbox, snapshots,
        stored::Stored,
    },
    transaction::CatalogExt,
};

fn is_conflict<T>(result: Result<T, CatalogError>) {
    match result {
        Err(error @ CatalogError::Conflict { .. }) => assert_eq!(error.kind(), ErrorKind::Refuse),
        Err(other) => panic!("not a conflict: {other}"),
        Ok(_) => panic!("a taken name was taken again"),
    }
}

/// A taken name is refused, in every table that has names.
pub async fn names_clash(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let cluster = samples::cluster("c");
    let again = samples::cluster("c");
    let job = samples::job(model::JobKind::of("create-cluster"), "c");
    let access = access_key("AKIA1");
    let alias = alias("alias/a");
    {
        let (cluster, job, access, alias) =
            (cluster.clone(), job.clone(), access.clone(), alias.clone());
        write(&catalog, move |tx| {
            clusters::insert(tx, cluster.clone())?;
            snapshots::insert(tx, samples::snapshot("s"))?;
            keys::insert(tx, samples::key("k"))?;
            keys::insert_alias(tx, &alias)?;
            access_keys::insert(tx, &access)?;
            jobs::insert(tx, &job)
        })
        .await;
    }
    let other_name = model::Cluster {
        name: model::ClusterName::parse("d").expect("a name"),
        ..cluster
    };
    let insert = |cluster: model::Cluster| {
        let work = move |tx: &mut dyn crate::Tx| clusters::insert(tx, cluster.clone());
        catalog.write(work)
    };
    is_conflict(insert(again).await);
    // A resource id is a name too.
    is_conflict(insert(other_name).await);
    let snapshot = |tx: &mut dyn crate::Tx| snapshots::insert(tx, samples::snapshot("s"));
    is_conflict(catalog.write(snapshot).await);
    let key = |tx: &mut dyn crate::Tx| keys::insert(tx, samples::key("k"));
    is_conflict(catalog.write(key).await);
    is_conflict(
        catalog
            .write(move |tx| keys::insert_alias(tx, &alias))
            .await,
    );
    is_conflict(
        catalog
            .write(move |tx| access_keys::insert(tx, &access))
            .await,
    );
    is_conflict(catalog.write(move |tx| jobs::insert(tx, &job)).await);
    let count = read(&catalog, |tx| {
        snapshots::count_manual(tx, &samples::region(), &samples::account(1))
    });
    assert_eq!(count.await, 1, "a refused snapshot counts nowhere");
}

/// An update under a version that is not the stored one is refused.
pub async fn versions_are_compared(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let first = write(&catalog, |tx| snapshots::insert(tx, samples::snapshot("s"))).await;
    let stale = first.clone();
    let second = write(&catalog, move |tx| {
        let mut changed = first.clone();
        changed.value.percent_progress = 5;
        snapshots::update(tx, changed)
    })
    .await;
    assert!(stale.version < second.version);
    let refused = catalog
        .write(move |tx| snapshots::update(tx, stale.clone()))
        .await;
    match refused {
        Err(error @ CatalogError::Stale { .. }) => assert_eq!(error.kind(), ErrorKind::Retry),
        other => panic!("a stale update went through: {other:?}"),
    }
    let found = read(&catalog, |tx| {
        let sample = samples::snapshot("s");
        snapshots::get(tx, &sample.region, &sample.account, &sample.name)
    });
    assert_eq!(found.await, Some(second));
}

/// A record goes only where its state lets it; a move that is refused changes nothing.
pub async fn states_move_as_they_may(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let (snapshot, cluster) = write(&catalog, |tx| {
        let mut stored = snapshots::insert(tx, samples::snapshot("s"))?;
        stored.value.status = SnapshotStatus::Available;
        let snapshot = snapshots::update(tx, stored)?;
        Ok((snapshot, clusters::insert(tx, samples::cluster("c"))?))
    })
    .await;
    let entries = read(&catalog, |tx| outbox::take(tx, 10)).await;
    for status in [
        SnapshotStatus::Creating,
        SnapshotStatus::Copying,
        SnapshotStatus::Failed,
    ] {
        let mut moved = snapshot.clone();
        moved.value.status = status;
        moved.value.shared_with = vec!["all".to_owned()];
        let refused = catalog.write(move |tx| snapshots::update(tx, moved.clone()));
        is_illegal(refused.await);
    }
    for status in [ClusterStatus::Creating, ClusterStatus::Failed] {
        let mut moved = cluster.clone();
        moved.value.status = status;
        let refused = catalog.write(move |tx| clusters::update(tx, moved.clone()));
        is_illegal(refused.await);
    }
    let (of_snapshot, of_cluster) = (snapshot.clone(), cluster.clone());
    let (kept, shared, still) = read(&catalog, move |tx| {
        let (one, other) = (&of_snapshot.value, &of_cluster.value);
        let public = snapshots::Selection {
            public: true,
            ..Default::default()
        };
        Ok((
            snapshots::get(tx, &one.region, &one.account, &one.name)?,
            snapshots::page(tx, &one.region, &public, None, 10)?.len(),
            clusters::get(tx, &other.region, &other.account, &other.name)?,
        ))
    })
    .await;
    assert_eq!(
        (kept, shared, still),
        (Some(snapshot.clone()), 0, Some(cluster))
    );
    let after = read(&catalog, |tx| outbox::take(tx, 10)).await;
    assert_eq!(after, entries);
    // What was read before another's move is stale, not illegal.
    let stale = Stored {
        version: snapshot.version - 1,
        value: model::Snapshot {
            status: SnapshotStatus::Failed,
            ..snapshot.value
        },
    };
    let refused = catalog.write(move |tx| snapshots::update(tx, stale.clone()));
    assert!(matches!(refused.await, Err(CatalogError::Stale { .. })));
}

fn is_illegal<T>(result: Result<T, CatalogError>) {
    match result {
        Err(error @ CatalogError::IllegalMove { .. }) => {
            assert_eq!(error.kind(), ErrorKind::Report);
        }
        Err(other) => panic!("not an illegal move: {other}"),
        Ok(_) => panic!("a record went where it may not"),
    }
}

/// A record that is deleted and made anew has a version that its name never had.
pub async fn versions_are_never_used_twice(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut last = 0;
    for _ in 0..3 {
        let (made, deleted) = write(&catalog, |tx| {
            let stored = clusters::insert(tx, samples::cluster("c"))?;
            let value = &stored.value;
            let was = clusters::delete(tx, &value.region, &value.account, &value.name)?;
            assert!(was, "the cluster was there");
            Ok((stored.version, meta::version(tx)?))
        })
        .await;
        assert!(last < made && made < deleted, "{last} {made} {deleted}");
        last = deleted;
    }
    write(&catalog, |tx| meta::raise_version(tx, 1_000)).await;
    write(&catalog, |tx| meta::raise_version(tx, 10)).await;
    assert_eq!(write(&catalog, |tx| tx.next_version()).await, 1_001);
}

/// Clusters are found by name and resource id; lists are in the order of names.
pub async fn clusters_are_found(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let made: Vec<_> = ["b", "a", "c"].map(samples::cluster).into();
    let elsewhere = model::Cluster {
        region: samples::other_region(),
        ..samples::cluster("a")
    };
    let (b, all) = (made[0].clone(), made.clone());
    write(&catalog, move |tx| {
        for cluster in all.iter().chain([&elsewhere]) {
            clusters::insert(tx, cluster.clone())?;
        }
        Ok(())
    })
    .await;
    let (found, listed, rest, count) = read(&catalog, move |tx| {
        let (region, account) = (&b.region, &b.account);
        Ok((
            clusters::get_by_resource_id(tx, &b.resource_id)?,
            clusters::list(tx, region, account, None, 2)?,
            clusters::list(tx, region, account, Some(&b.name), 10)?,
            clusters::count(tx, region, account)?,
        ))
    })
    .await;
    let names = |list: &[crate::Stored<model::Cluster>]| {
        let names: Vec<_> = list.iter().map(|one| one.value.name.to_string()).collect();
        names.join(" ")
    };
    assert_eq!(found.map(|stored| stored.value), Some(made[0].clone()));
    assert_eq!(names(&listed), "a b");
    assert_eq!(names(&rest), "c");
    assert_eq!(count, 3);
    let base: Option<Hash> = write(&catalog, move |tx| {
        let mut stored = listed[0].clone();
        stored.value.base = Some(Base {
            manifest: samples::hash(1),
            wrapped_key: None,
            change: None,
        });
        Ok(clusters::update(tx, stored)?
            .value
            .base
            .map(|base| base.manifest))
    })
    .await;
    assert_eq!(base, Some(samples::hash(1)));
}

/// Instances are found by their cluster and by their node, and end with their cluster.
pub async fn instances_are_their_clusters(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let made = write(&catalog, |tx| {
        for name in ["b", "a", "unplaced"] {
            let cluster = clusters::insert(tx, samples::cluster(name))?.value;
            if name != "unplaced" {
                instances::insert(tx, samples::writer(&cluster))?;
            }
        }
        let (region, account) = (samples::region(), samples::account(1));
        clusters::list(tx, &region, &account, None, 10)
    })
    .await;
    let cluster = made[0].value.clone();
    let (first, second) = (cluster.clone(), made[2].value.clone());
    let (writer, none, here) = read(&catalog, move |tx| {
        Ok((
            instances::writer(tx, &first.resource_id)?,
            instances::writer(tx, &second.resource_id)?,
            instances::on_node(tx, "node-1")?,
        ))
    })
    .await;
    assert_eq!(none, None);
    let writer = writer.expect("it has a place");
    assert_eq!(writer.value, samples::writer(&cluster));
    let names = |members: &[Member]| -> Vec<String> {
        let name = |one: &Member| one.cluster.name.to_string();
        members.iter().map(name).collect()
    };
    assert_eq!(names(&here), ["a", "b"]);
    let again = catalog.write({
        let cluster = cluster.clone();
        move |tx| instances::insert(tx, samples::writer(&cluster))
    });
    is_conflict(again.await);
    let of = cluster.clone();
    let (here, there, all, gone) = write(&catalog, move |tx| {
        let mut moved = writer.clone();
        moved.value.placement.node = "node-2".to_owned();
        let moved = instances::update(tx, moved)?;
        assert!(writer.version < moved.version);
        assert!(matches!(
            instances::update(tx, writer.clone()),
            Err(CatalogError::Stale { .. })
        ));
        let mut reader = samples::writer(&of);
        reader.id = "db-ABCDEFGHIJKLMNOPQRSTUVWXY2".parse().expect("an id");
        reader.role = InstanceRole::Reader;
        instances::insert(tx, reader)?;
        let here = instances::on_node(tx, "node-1")?;
        let there = instances::on_node(tx, "node-2")?;
        let all = instances::of_cluster(tx, &of.resource_id)?;
        clusters::delete(tx, &of.region, &of.account, &of.name)?;
        Ok((
            here,
            there,
            all,
            instances::of_cluster(tx, &of.resource_id)?,
        ))
    })
    .await;
    assert_eq!(names(&here), ["a", "b"], "its reader is here still");
    assert_eq!(names(&there), ["a"]);
    let roles: Vec<_> = all.iter().map(|one| one.value.role).collect();
    assert_eq!(roles, [InstanceRole::Writer, InstanceRole::Reader]);
    assert!(gone.is_empty(), "an instance outlived its cluster");
    let entries = read(&catalog, |tx| crate::outbox::take(tx, 100)).await;
    let ends = entries.iter().rev().take(3);
    let kinds: Vec<_> = ends.map(|entry| entry.path.split('/').next()).collect();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == Some("instances"))
            .count(),
        2
    );
}

fn access_key(id: &str) -> AccessKey {
    AccessKey {
        id: id.to_owned(),
        account: samples::account(1),
        sealed_secret: vec![0, 1, 255],
        status: AccessKeyStatus::Active,
        created_at: Timestamp(5),
    }
}

/// Access keys are kept, listed, made inactive and deleted.
pub async fn access_keys_live(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let made = access_key("AKIA1");
    let kept = made.clone();
    write(&catalog, move |tx| access_keys::insert(tx, &kept)).await;
    let (found, own, others) = read(&catalog, |tx| {
        Ok((
            access_keys::get(tx, "AKIA1")?,
            access_keys::list(tx, None, 10)?,
            access_keys::list(tx, Some(&samples::account(2)), 10)?,
        ))
    })
    .await;
    assert_eq!(found, Some(made.clone()));
    assert_eq!((own, others), (vec![made], Vec::new()));
    let (changed, missing) = write(&catalog, |tx| {
        Ok((
            access_keys::set_status(tx, "AKIA1", AccessKeyStatus::Inactive)?,
            access_keys::set_status(tx, "AKIA2", AccessKeyStatus::Inactive)?,
        ))
    })
    .await;
    assert!(changed && !missing);
    let found = read(&catalog, |tx| access_keys::get(tx, "AKIA1")).await;
    assert!(!found.expect("it is there").is_active());
    assert!(write(&catalog, |tx| access_keys::delete(tx, "AKIA1")).await);
    assert_eq!(
        read(&catalog, |tx| access_keys::get(tx, "AKIA1")).await,
        None
    );
}

fn alias(name: &str) -> Alias {
    Alias {
        region: samples::region(),
        account: samples::account(1),
        name: name.to_owned(),
        key_id: "k".to_owned(),
        created_at: Timestamp(5),
        updated_at: Timestamp(5),
    }
}

/// Keys and aliases are kept, changed, listed and deleted; a key takes its aliases along.
pub async fn keys_and_aliases_live(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let (region, account) = (samples::region(), samples::account(1));
    let stored = write(&catalog, |tx| {
        keys::insert(tx, samples::key("j"))?;
        let stored = keys::insert(tx, samples::key("k"))?;
        keys::insert_alias(tx, &alias("alias/b"))?;
        keys::insert_alias(tx, &alias("alias/a"))?;
        Ok(stored)
    })
    .await;
    let by_arn = read(&catalog, |tx| keys::get_by_arn(tx, &samples::key_arn("k"))).await;
    assert_eq!(by_arn, Some(stored.clone()));
    let due = write(&catalog, move |tx| {
        let mut stored = stored.clone();
        stored.value.state = KeyState::PendingDeletion;
        stored.value.deletion_at = Some(tx.now());
        let stored = keys::update(tx, stored)?;
        assert_eq!(keys::due_for_deletion(tx, Some(&stored.value), 10)?, []);
        keys::due_for_deletion(tx, None, 10)
    })
    .await;
    assert_eq!(due.len(), 1);
    let (listed, moved) = {
        let (region, account) = (region.clone(), account.clone());
        write(&catalog, move |tx| {
            let moved = keys::update_alias(tx, &region, &account, "alias/b", "j")?;
            let ids = keys::list(tx, &region, &account, Some("j"), 10)?;
            Ok((ids, moved))
        })
        .await
    };
    assert!(moved);
    assert_eq!(listed.len(), 1);
    let (of_k, all, later) = {
        let (region, account) = (region.clone(), account.clone());
        read(&catalog, move |tx| {
            Ok((
                keys::list_aliases(tx, &region, &account, Some("k"), None, 10)?,
                keys::list_aliases(tx, &region, &account, None, None, 10)?,
                keys::list_aliases(tx, &region, &account, None, Some("alias/a"), 10)?,
            ))
        })
        .await
    };
    assert_eq!(of_k, [alias("alias/a")]);
    assert_eq!(all.len(), 2);
    assert_eq!(later[0].key_id, "j");
    let (gone, kept, unaliased) = write(&catalog, move |tx| {
        assert!(keys::delete(tx, &region, &account, "k")?);
        assert!(!keys::delete(tx, &region, &account, "k")?);
        Ok((
            keys::get_alias(tx, &region, &account, "alias/a")?,
            keys::get_alias(tx, &region, &account, "alias/b")?,
            keys::delete_alias(tx, &region, &account, "alias/b")?,
        ))
    })
    .await;
    assert_eq!(gone, None);
    assert!(kept.is_some() && unaliased);
}

/// Facts are read as they were written.
pub async fn facts_stay(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let values = write(&catalog, |tx| {
        let none = meta::get(tx, "mode")?;
        let first = meta::get_or_set(tx, "mode", "closed")?;
        let second = meta::get_or_set(tx, "mode", "dev")?;
        meta::set(tx, "mode", "dev")?;
        Ok((none, first, second, meta::get(tx, "mode")?))
    })
    .await;
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        values,
        (None, "closed".to_owned(), "closed".to_owned(), some("dev"))
    );
}

/// Groups and subscriptions are kept, found, changed and forgotten by their names; an instance that is
/// not in sync with its parameters says so until it is gone.
pub async fn groups_live_and_are_counted(fixture: &impl Fixture) {
    use crate::tables::{
        holdings, instances, keyed,
        parameter_status::{self, ParameterStatus},
    };
    use model::{GroupScope, ParameterGroup, SubnetGroup};
    let catalog = fixture.open();
    write(&catalog, |tx| {
        let (region, account) = (samples::region(), samples::account(1));
        let key = [account.as_str(), "cluster", "b"];
        for name in ["b", "a"] {
            keyed::insert(tx, samples::parameter_group(name))?;
        }
        let instances_own = ParameterGroup {
            scope: GroupScope::Instance,
            ..samples::parameter_group("b")
        };
        keyed::insert(tx, instances_own)?;
        let again = keyed::insert(tx, samples::parameter_group("b"));
        assert!(matches!(again, Err(CatalogError::Conflict { .. })));
        let mut found = keyed::get::<ParameterGroup>(tx, &region, &key)?.expect("it is kept");
        let stale = found.clone();
        found.value.parameters.clear();
        let kept = keyed::update(tx, found)?;
        assert!(matches!(
            keyed::update(tx, stale),
            Err(CatalogError::Stale { .. })
        ));
        assert_eq!(keyed::get(tx, &region, &key)?, Some(kept.clone()));
        let names = |tx: &mut dyn crate::Tx, limit| {
            let rows = keyed::list::<ParameterGroup>(tx, &region, &key[..2], limit)?;
            Ok::<_, CatalogError>(
                rows.into_iter()
                    .map(|row| row.value.name)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            (names(tx, 9)?, names(tx, 1)?),
            (vec!["a".to_owned(), "b".to_owned()], vec!["a".to_owned()])
        );
        assert_eq!(
            holdings::of_account(tx, &account)?.of::<ParameterGroup>(),
            3
        );
        assert!(keyed::delete(tx, &kept.value)? && !keyed::delete(tx, &kept.value)?);
        assert_eq!(names(tx, 9)?, ["a"]);
        assert_eq!(
            keyed::get::<SubnetGroup>(tx, &region, &[account.as_str(), "b"])?,
            None
        );
        let cluster = clusters::insert(tx, samples::cluster("c"))?.value;
        let writer = instances::insert(tx, samples::writer(&cluster))?.value;
        let status = |tx: &mut dyn crate::Tx| parameter_status::of(tx, &writer.id);
        assert_eq!(status(tx)?, ParameterStatus::InSync);
        for (now, is_news) in [
            (ParameterStatus::InSync, false),
            (ParameterStatus::PendingReboot, true),
            (ParameterStatus::PendingReboot, false),
            (ParameterStatus::Refused, true),
        ] {
            assert_eq!(parameter_status::note(tx, &writer.id, now)?, is_news);
            assert_eq!(status(tx)?, now);
        }
        instances::delete(tx, &writer)?;
        assert_eq!(status(tx)?, ParameterStatus::InSync);
        Ok(())
    })
    .await;
}
