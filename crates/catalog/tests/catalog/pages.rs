//! Pages of snapshots against the plain definition: filter everything, then sort.
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use catalog::{
    CatalogError, CatalogExt, SqliteCatalog,
    conformance::samples,
    snapshots::{self, NameFilter, Selection},
};
use model::{Account, ClusterName, Region, Snapshot, SnapshotKind, SystemClock};
use proptest::prelude::*;

/// A snapshot of one of three accounts, of one of two clusters and engines.
fn snapshot() -> impl Strategy<Value = Snapshot> {
    let shares = proptest::collection::btree_set(0..4_u8, 0..3);
    (
        1..4_u8,
        "[ab]{1,3}",
        any::<bool>(),
        "[cd]",
        any::<bool>(),
        shares,
    )
        .prop_map(|(owner, name, automated, cluster, aurora, shares)| {
            let (kind, name) = match automated {
                true => (SnapshotKind::Automated, format!("rds:{name}")),
                false => (SnapshotKind::Manual, name),
            };
            Snapshot {
                account: samples::account(owner),
                kind,
                cluster_name: ClusterName::parse(&cluster).expect("a name"),
                engine: if aurora {
                    "aurora-postgresql"
                } else {
                    "postgres"
                }
                .to_owned(),
                shared_with: shares
                    .into_iter()
                    .map(|to| match to {
                        0 => "all".to_owned(),
                        digit => samples::account(digit).to_string(),
                    })
                    .collect(),
                ..samples::snapshot(&name)
            }
        })
}

fn selection() -> impl Strategy<Value = Selection> {
    let account = || proptest::option::of((1..4_u8).prop_map(samples::account));
    let kind = prop_oneof![
        Just(None),
        Just(Some(SnapshotKind::Manual)),
        Just(Some(SnapshotKind::Automated))
    ];
    let wanted = |pattern: &'static str| {
        let one = (account(), pattern).prop_map(|(owner, name)| NameFilter { owner, name });
        proptest::collection::vec(one, 0..3)
    };
    let some = |pattern: &'static str| proptest::collection::vec(pattern, 0..3);
    (
        account(),
        account(),
        any::<bool>(),
        kind,
        wanted("[ab]{1,2}"),
        wanted("[cd]"),
        some("postgres|aurora-postgresql"),
    )
        .prop_map(
            |(owned_by, shared_with, public, kind, names, clusters, engines)| Selection {
                owned_by,
                shared_with,
                public,
                kinds: kind.into_iter().collect(),
                names,
                clusters,
                resource_id: None,
                engines,
            },
        )
}

fn by_definition(selection: &Selection, snapshot: &Snapshot) -> bool {
    let to = |grantee: &str| {
        snapshot.kind == SnapshotKind::Manual && snapshot.shared_with.iter().any(|to| to == grantee)
    };
    let in_scope = selection.owned_by.as_ref() == Some(&snapshot.account)
        || selection
            .shared_with
            .as_ref()
            .is_some_and(|account| to(account.as_str()))
        || (selection.public && to("all"));
    let among = |wanted: &[NameFilter], name: &str| {
        let of = |one: &NameFilter| one.owner.as_ref().is_none_or(|of| *of == snapshot.account);
        wanted.is_empty() || wanted.iter().any(|one| one.name == name && of(one))
    };
    let engines = &selection.engines;
    in_scope
        && (selection.kinds.is_empty() || selection.kinds.contains(&snapshot.kind))
        && among(&selection.names, snapshot.name.as_str())
        && among(&selection.clusters, snapshot.cluster_name.as_str())
        && (engines.is_empty() || engines.contains(&snapshot.engine))
}

/// Keeps what has a free name; answers what was kept.
async fn fill(catalog: &SqliteCatalog, region: &Region, made: Vec<Snapshot>) -> Vec<Snapshot> {
    let mut taken = BTreeSet::new();
    let kept: Vec<Snapshot> = made
        .into_iter()
        .map(|snapshot| Snapshot {
            region: region.clone(),
            ..snapshot
        })
        .filter(|snapshot| taken.insert((snapshot.account.clone(), snapshot.name.clone())))
        .collect();
    let rows = kept.clone();
    let outcome: Result<(), CatalogError> = catalog
        .write(move |tx| {
            rows.iter()
                .try_for_each(|row| snapshots::insert(tx, row.clone()).map(|_| ()))
        })
        .await;
    outcome.expect("they are kept");
    kept
}

async fn walk(
    catalog: &SqliteCatalog,
    region: &Region,
    selection: &Selection,
    limit: usize,
) -> Vec<Snapshot> {
    let mut seen: Vec<Snapshot> = Vec::new();
    loop {
        let after = seen
            .last()
            .map(|last| (last.account.clone(), last.name.clone()));
        let (region, selection) = (region.clone(), selection.clone());
        let page: Result<_, CatalogError> = catalog
            .read(move |tx| snapshots::page(tx, &region, &selection, after.as_ref(), limit))
            .await;
        let page = page.expect("it reads");
        if page.is_empty() {
            return seen;
        }
        assert!(page.len() <= limit);
        seen.extend(page.into_iter().map(|stored| stored.value));
    }
}

#[test]
fn pages_are_as_defined() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog.db");
    let catalog = SqliteCatalog::open(&path, Arc::new(SystemClock)).expect("it opens");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let case = AtomicU32::new(0);
    let made = proptest::collection::vec(snapshot(), 0..12);
    proptest!(ProptestConfig::with_cases(ProptestConfig::default().cases / 2), |(made in made, selection in selection(), limit in 1..6_usize)| {
        // Each case has a region of its own, so one catalog serves them all.
        let region: Region = format!("case-{}", case.fetch_add(1, Ordering::Relaxed)).parse().expect("a region");
        runtime.block_on(async {
            let kept = fill(&catalog, &region, made).await;
            let mut expected: Vec<Snapshot> = kept.iter().filter(|one| by_definition(&selection, one)).cloned().collect();
            expected.sort_by_key(|one| (one.account.clone(), one.name.clone()));
            prop_assert_eq!(walk(&catalog, &region, &selection, limit).await, expected);
            let account: Account = samples::account(1);
            let manual = kept.iter().filter(|one| one.account == account && one.kind == SnapshotKind::Manual).count();
            let tally: Result<u64, CatalogError> = catalog.read(move |tx| snapshots::count_manual(tx, &region, &account)).await;
            prop_assert_eq!(tally.expect("it reads"), manual as u64);
            Ok(())
        })?;
    });
}
