//! Snapshots: pages, scopes, filters, sharing, and the manifests they need.
//!
//! It does not know which of these an action offers.
use std::sync::Arc;

use model::{ClusterStatus, Snapshot, SnapshotKind, SnapshotStatus, Timestamp, cluster::Base};

use super::{Fixture, read, samples, write};
use crate::{
    tables::{
        clusters, last_snapshots,
        snapshots::{self, After, NameFilter, Selection},
        stored::Stored,
    },
    transaction::Catalog,
};

async fn add(catalog: &Arc<dyn Catalog>, snapshot: model::Snapshot) -> Stored<model::Snapshot> {
    write(catalog, move |tx| snapshots::insert(tx, snapshot.clone())).await
}

async fn page(
    catalog: &Arc<dyn Catalog>,
    selection: &Selection,
    after: Option<After>,
    limit: usize,
) -> Vec<Stored<model::Snapshot>> {
    let selection = selection.clone();
    read(catalog, move |tx| {
        snapshots::page(tx, &samples::region(), &selection, after.as_ref(), limit)
    })
    .await
}

async fn names(catalog: &Arc<dyn Catalog>, selection: &Selection) -> String {
    let found = page(catalog, selection, None, 100).await;
    let names: Vec<_> = found
        .iter()
        .map(|one| format!("{}{}", &one.value.account.as_str()[..1], one.value.name))
        .collect();
    names.join(" ")
}

fn own() -> Selection {
    Selection {
        owned_by: Some(samples::account(1)),
        ..Selection::default()
    }
}

/// A walk over the pages meets every snapshot once, in order, whatever comes and goes meanwhile.
pub async fn pages_meet_every_snapshot_once(fixture: &impl Fixture) {
    let catalog = fixture.open();
    for number in 0..25 {
        let mut snapshot = samples::snapshot(&format!("s{number:02}"));
        if number % 3 == 0 {
            snapshot.account = samples::account(2);
            snapshot.shared_with = vec![samples::account(1).to_string(), "all".to_owned()];
        }
        add(&catalog, snapshot).await;
    }
    let selection = Selection {
        shared_with: Some(samples::account(1)),
        public: true,
        ..own()
    };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let found = page(&catalog, &selection, after.clone(), 4).await;
        assert!(found.len() <= 4);
        let Some(last) = found.last() else { break };
        after = Some((last.value.account.clone(), last.value.name.clone()));
        seen.extend(
            found
                .iter()
                .map(|one| (one.value.account.clone(), one.value.name.clone())),
        );
        // One that comes before the place, and one that has been seen and goes.
        let (account, name) = seen[0].clone();
        let early = format!("a{}", seen.len());
        write(&catalog, move |tx| {
            snapshots::insert(tx, samples::snapshot(&early))?;
            snapshots::delete(tx, &samples::region(), &account, &name).map(|_| ())
        })
        .await;
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by(|one, next| one < next));
}

/// Each scope and each filter selects what it says, alone and together.
pub async fn scopes_and_filters_select(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let automated = model::Snapshot {
        kind: SnapshotKind::Automated,
        // Automated snapshots are never shared, whatever the record says.
        shared_with: vec!["all".to_owned()],
        ..samples::snapshot("rds:c-2024-01-01-00-00")
    };
    let mine = samples::snapshot("mine");
    let resource_id = mine.cluster_resource_id.clone();
    let public = model::Snapshot {
        shared_with: vec!["all".to_owned()],
        cluster_name: model::ClusterName::parse("other").expect("a name"),
        ..samples::snapshot("public")
    };
    let elsewhere = model::Snapshot {
        region: samples::other_region(),
        ..samples::snapshot("far")
    };
    let given = model::Snapshot {
        account: samples::account(2),
        shared_with: vec![samples::account(1).to_string()],
        engine: "postgres".to_owned(),
        ..samples::snapshot("given")
    };
    let private = model::Snapshot {
        account: samples::account(2),
        ..samples::snapshot("private")
    };
    for snapshot in [automated, mine, public, elsewhere, given, private] {
        add(&catalog, snapshot).await;
    }
    let nothing = Selection::default();
    let shared = Selection {
        shared_with: Some(samples::account(1)),
        ..nothing.clone()
    };
    let public = Selection {
        public: true,
        ..nothing.clone()
    };
    let everything = Selection {
        public: true,
        ..shared.clone()
    };
    let everything = Selection {
        owned_by: own().owned_by,
        ..everything
    };
    let named = |names: &[&str]| names.iter().map(|name| NameFilter::named(name)).collect();
    let of = |owner, name: &str| NameFilter {
        owner: Some(owner),
        name: name.to_owned(),
    };
    let texts = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    for (selection, expected) in [
        (nothing, ""),
        (own(), "1mine 1public 1rds:c-2024-01-01-00-00"),
        (shared, "2given"),
        (public, "1public"),
        (
            everything.clone(),
            "1mine 1public 1rds:c-2024-01-01-00-00 2given",
        ),
        (
            Selection {
                kinds: vec![SnapshotKind::Automated],
                ..everything.clone()
            },
            "1rds:c-2024-01-01-00-00",
        ),
        (
            Selection {
                names: named(&["given", "mine", "far"]),
                ..everything.clone()
            },
            "1mine 2given",
        ),
        (
            Selection {
                clusters: named(&["other"]),
                ..everything.clone()
            },
            "1public",
        ),
        (
            Selection {
                clusters: named(&["other", "c"]),
                kinds: vec![SnapshotKind::Manual],
                ..own()
            },
            "1mine 1public",
        ),
        (
            Selection {
                names: vec![
                    of(samples::account(1), "given"),
                    of(samples::account(2), "mine"),
                    of(samples::account(1), "mine"),
                    NameFilter::named("public"),
                ],
                ..everything.clone()
            },
            "1mine 1public",
        ),
        (
            Selection {
                clusters: vec![of(samples::account(2), "c")],
                ..everything.clone()
            },
            "2given",
        ),
        (
            Selection {
                engines: texts(&["postgres"]),
                ..everything.clone()
            },
            "2given",
        ),
        (
            Selection {
                resource_id: Some(resource_id),
                ..everything
            },
            "1mine",
        ),
    ] {
        assert_eq!(names(&catalog, &selection).await, expected, "{selection:?}");
    }
}

/// Whom a snapshot is shared with follows its record, and ends with it.
pub async fn sharing_follows_updates(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let stored = add(&catalog, samples::snapshot("s")).await;
    let to = |digit| Selection {
        shared_with: Some(samples::account(digit)),
        ..Selection::default()
    };
    let share = |stored: Stored<model::Snapshot>, with: &[u8]| {
        let with: Vec<_> = with
            .iter()
            .map(|digit| samples::account(*digit).to_string())
            .collect();
        write(&catalog, move |tx| {
            let mut stored = stored.clone();
            stored.value.shared_with.clone_from(&with);
            snapshots::update(tx, stored)
        })
    };
    let stored = share(stored, &[2, 3]).await;
    assert_eq!(names(&catalog, &to(2)).await, "1s");
    assert_eq!(names(&catalog, &to(3)).await, "1s");
    share(stored, &[3, 4]).await;
    assert_eq!(names(&catalog, &to(2)).await, "");
    assert_eq!(names(&catalog, &to(4)).await, "1s");
    let (deleted, again) = write(&catalog, |tx| {
        let sample = samples::snapshot("s");
        Ok((
            snapshots::delete(tx, &sample.region, &sample.account, &sample.name)?,
            snapshots::delete(tx, &sample.region, &sample.account, &sample.name)?,
        ))
    })
    .await;
    assert!(deleted && !again);
    assert_eq!(names(&catalog, &to(3)).await, "");
    add(&catalog, samples::snapshot("s")).await;
    assert_eq!(
        names(&catalog, &to(3)).await,
        "",
        "a new record inherits no shares"
    );
}

/// The roots of a volume are its snapshots' manifests and its clusters' bases, each once.
pub async fn roots_are_what_is_needed(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let (volume, other) = (samples::volume(), samples::volume());
    for (name, volume, byte, region) in [
        ("a", &volume, 1, samples::region()),
        ("b", &volume, 2, samples::region()),
        ("copy-of-b", &volume, 2, samples::region()),
        ("c", &other, 3, samples::region()),
        ("far", &volume, 4, samples::other_region()),
    ] {
        let content = Some(samples::content(volume, samples::hash(byte)));
        add(
            &catalog,
            model::Snapshot {
                region,
                content,
                ..samples::snapshot(name)
            },
        )
        .await;
    }
    add(&catalog, samples::snapshot("empty")).await;
    for (name, byte) in [("based", Some(5)), ("unbased", None)] {
        let base = byte.map(|byte| Base {
            manifest: samples::hash(byte),
            wrapped_key: None,
            change: None,
        });
        let cluster = model::Cluster {
            volume: volume.clone(),
            base,
            ..samples::cluster(name)
        };
        write(&catalog, move |tx| clusters::insert(tx, cluster.clone())).await;
    }
    let roots = |of: &model::VolumeRef| {
        let of = of.clone();
        read(&catalog, move |tx| {
            let mut roots = snapshots::roots(tx, &samples::region(), &of)?;
            roots.sort_unstable();
            Ok(roots)
        })
    };
    assert_eq!(roots(&volume).await, [1, 2, 5].map(samples::hash));
    assert_eq!(roots(&other).await, [samples::hash(3)]);
    let need = |byte: u8, limit: usize| {
        let of = volume.clone();
        read(&catalog, move |tx| {
            let hash = samples::hash(byte);
            let need = snapshots::need_of(tx, &samples::region(), &of, hash, limit)?;
            Ok((need.snapshots, need.is_base))
        })
    };
    assert_eq!(need(1, 9).await, (1, false));
    assert_eq!(need(2, 9).await, (2, false));
    assert_eq!(need(2, 1).await, (1, false), "counted no further");
    assert_eq!(need(5, 9).await, (0, true));
    assert_eq!(need(3, 9).await, (0, false), "of another volume");
    write(&catalog, |tx| {
        let sample = samples::snapshot("b");
        snapshots::delete(tx, &sample.region, &sample.account, &sample.name)
    })
    .await;
    assert_eq!(
        roots(&volume).await,
        [1, 2, 5].map(samples::hash),
        "the copy needs it still"
    );
}

/// Whole snapshots count, by the time of their bytes; a cluster of another name or owner has its own.
pub async fn the_last_snapshot_of_each_cluster_is_told(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let one = samples::cluster("one");
    let with = |name: &str, at: i64, status: SnapshotStatus| Snapshot {
        created_at: Timestamp(at),
        status,
        cluster_resource_id: one.resource_id.clone(),
        ..samples::snapshot(name)
    };
    for cluster in [one.clone(), samples::cluster("two")] {
        write(&catalog, move |tx| clusters::insert(tx, cluster.clone())).await;
    }
    let told = || {
        read(&catalog, |tx| {
            let each = last_snapshots::of_clusters(tx, 9)?;
            let each = each
                .into_iter()
                .map(|(cluster, at)| (cluster.name.to_string(), at));
            Ok((each.collect::<Vec<_>>(), last_snapshots::sums(tx, 9)?))
        })
    };
    let named = |one: Option<i64>| {
        vec![
            ("one".to_owned(), one.map(Timestamp)),
            ("two".to_owned(), None),
        ]
    };
    let sums = |without, oldest: Option<i64>| last_snapshots::Sums {
        without,
        oldest: oldest.map(Timestamp),
    };
    assert_eq!(told().await, (named(None), sums(2, None)));
    add(&catalog, with("a", 70, SnapshotStatus::Available)).await;
    add(&catalog, with("b", 50, SnapshotStatus::Available)).await;
    add(&catalog, with("failed", 90, SnapshotStatus::Failed)).await;
    let creating = with("later", 80, SnapshotStatus::Creating);
    add(&catalog, creating.clone()).await;
    assert_eq!(told().await, (named(Some(70)), sums(1, Some(70))));
    write(&catalog, move |tx| {
        let key = (&creating.region, &creating.account, &creating.name);
        let mut stored = snapshots::get(tx, key.0, key.1, key.2)?.expect("it is there");
        stored.value.status = SnapshotStatus::Available;
        stored.value.created_at = Timestamp(81);
        snapshots::update(tx, stored)
    })
    .await;
    assert_eq!(told().await, (named(Some(81)), sums(1, Some(81))));
    let first = read(&catalog, |tx| last_snapshots::of_clusters(tx, 1)).await;
    assert_eq!(first.len(), 1, "no more than is asked for");
    let key = samples::cluster("one");
    write(&catalog, move |tx| {
        let stored = clusters::get(tx, &key.region, &key.account, &key.name)?;
        let mut stored = stored.expect("it is there");
        stored.value.status = ClusterStatus::Stopping;
        clusters::update(tx, stored)
    })
    .await;
    assert_eq!(
        told().await,
        (named(Some(81)), sums(1, None)),
        "one that is stopped is not too old"
    );
}
