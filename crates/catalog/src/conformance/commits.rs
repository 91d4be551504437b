//! Transactions: alone, at once, refused, broken off.
//!
//! It does not know how a catalog gathers them.
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::task::JoinSet;

use super::{Fixture, read, samples, write};
use crate::{
    error::CatalogError,
    tables::{meta, snapshots},
    transaction::{CatalogExt, Tx},
};

/// A caller's own error, as actions have them.
#[derive(Debug)]
enum Refusal {
    Full,
    Catalog(CatalogError),
}

impl From<CatalogError> for Refusal {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

fn add_within_quota(tx: &mut dyn Tx, name: &str, quota: u64) -> Result<(), Refusal> {
    let snapshot = samples::snapshot(name);
    if quota <= snapshots::count_manual(tx, &snapshot.region, &snapshot.account)? {
        return Err(Refusal::Full);
    }
    snapshots::insert(tx, snapshot)?;
    Ok(())
}

/// Counting and adding in one transaction never exceeds a quota, however many do so at once.
pub async fn quotas_hold_under_concurrency(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let catalog = Arc::clone(&catalog);
        tasks.spawn(async move {
            let name = format!("s{task}");
            catalog
                .write(move |tx| add_within_quota(tx, &name, 10))
                .await
        });
    }
    let (mut added, mut full) = (0, 0);
    for outcome in tasks.join_all().await {
        match outcome {
            Ok(()) => added += 1,
            Err(Refusal::Full) => full += 1,
            Err(Refusal::Catalog(error)) => panic!("{error}"),
        }
    }
    assert_eq!((added, full), (10, 22));
    let (tally, rows) = read(&catalog, |tx| {
        let (region, account) = (samples::region(), samples::account(1));
        let selection = snapshots::Selection {
            owned_by: Some(account.clone()),
            ..snapshots::Selection::default()
        };
        Ok((
            snapshots::count_manual(tx, &region, &account)?,
            snapshots::page(tx, &region, &selection, None, 100)?.len(),
        ))
    })
    .await;
    assert_eq!((tally, rows), (10, 10));
}

/// A sum has what its own transaction and those before it have added, whoever asks the table; what
/// was undone is not in it.
pub async fn sums_have_what_was_kept(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let catalog = Arc::clone(&catalog);
        tasks.spawn(async move {
            catalog
                .write(move |tx| {
                    let snapshot = samples::snapshot(&format!("s{task}"));
                    let (region, account) = (snapshot.region.clone(), snapshot.account.clone());
                    snapshots::insert(tx, snapshot)?;
                    let sum = snapshots::count_manual(tx, &region, &account)?;
                    if task % 2 == 0 {
                        let rows = tx.query("SELECT tally FROM snapshot_tallies", &[])?;
                        let there = rows.first().map_or(Ok(0), |row| row.count(0))?;
                        assert_eq!(there, sum);
                    }
                    if 10 < sum {
                        return Err(Refusal::Full);
                    }
                    Ok(())
                })
                .await
        });
    }
    let mut added = 0;
    for outcome in tasks.join_all().await {
        match outcome {
            Ok(()) => added += 1,
            Err(Refusal::Full) => {}
            Err(Refusal::Catalog(error)) => panic!("{error}"),
        }
    }
    let tally = read(&catalog, |tx| {
        snapshots::count_manual(tx, &samples::region(), &samples::account(1))
    })
    .await;
    assert_eq!((added, tally), (10, 10));
}

/// What a refused transaction wrote is undone, and nothing of those beside it.
pub async fn one_failure_leaves_the_others(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut tasks = JoinSet::new();
    for task in 0..32_u32 {
        let catalog = Arc::clone(&catalog);
        tasks.spawn(async move {
            let outcome: Result<(), Refusal> = catalog
                .write(move |tx| {
                    meta::set(tx, &format!("row{task}"), "written")?;
                    if task % 2 == 1 {
                        Err(Refusal::Full)
                    } else {
                        Ok(())
                    }
                })
                .await;
            assert_eq!(outcome.is_ok(), task % 2 == 0);
        });
    }
    tasks.join_all().await;
    let kept = read(&catalog, |tx| {
        let mut kept = Vec::new();
        for task in 0..32_u32 {
            if meta::get(tx, &format!("row{task}"))?.is_some() {
                kept.push(task);
            }
        }
        Ok(kept)
    })
    .await;
    assert_eq!(kept, (0..32).step_by(2).collect::<Vec<_>>());
}

/// A function that panics is undone alone, and the catalog goes on.
pub async fn a_panic_undoes_its_own_only(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let panics = |tx: &mut dyn Tx| -> Result<(), CatalogError> {
        meta::set(tx, "half", "done")?;
        panic!("a test's own panic: expected")
    };
    let outcome = catalog.write(panics).await;
    assert!(
        matches!(outcome, Err(CatalogError::Panicked)),
        "{outcome:?}"
    );
    let outcome = catalog
        .read(|_| -> Result<(), CatalogError> { panic!("a test's own panic: expected") })
        .await;
    assert!(
        matches!(outcome, Err(CatalogError::Panicked)),
        "{outcome:?}"
    );
    write(&catalog, |tx| meta::set(tx, "whole", "done")).await;
    let found = read(&catalog, |tx| {
        Ok((meta::get(tx, "half")?, meta::get(tx, "whole")?))
    });
    assert_eq!(found.await, (None, Some("done".to_owned())));
}

/// A function that is run to read cannot write.
pub async fn readers_cannot_write(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let outcome = catalog.read(|tx| meta::set(tx, "a", "b")).await;
    assert!(
        matches!(outcome, Err(CatalogError::Failed { .. })),
        "{outcome:?}"
    );
    assert_eq!(read(&catalog, |tx| meta::get(tx, "a")).await, None);
}

/// A read that begins after a write was answered sees it, and sees one state throughout.
pub async fn reads_see_what_was_answered(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let torn = Arc::new(AtomicU32::new(0));
    for round in 0..50_u32 {
        let both = move |tx: &mut dyn Tx| {
            meta::set(tx, "left", &round.to_string())?;
            meta::set(tx, "right", &round.to_string())
        };
        write(&catalog, both).await;
        let next = tokio::spawn(write(&catalog, move |tx| {
            meta::set(tx, "left", &format!("{round}+"))?;
            meta::set(tx, "right", &format!("{round}+"))
        }));
        let torn_there = Arc::clone(&torn);
        let seen = read(&catalog, move |tx| {
            let left = meta::get(tx, "left")?.unwrap_or_default();
            if Some(&left) != meta::get(tx, "right")?.as_ref() {
                torn_there.fetch_add(1, Ordering::Relaxed);
            }
            Ok(left)
        })
        .await;
        assert!(seen.starts_with(&round.to_string()), "{seen} after {round}");
        next.await.expect("the write ends");
    }
    assert_eq!(torn.load(Ordering::Relaxed), 0);
}

/// What was answered is there when the catalog is opened again.
pub async fn what_was_answered_survives(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut tasks = JoinSet::new();
    for task in 0..64_u32 {
        tasks.spawn(write(&catalog, move |tx| {
            snapshots::insert(tx, samples::snapshot(&format!("s{task}"))).map(|_| ())
        }));
    }
    tasks.join_all().await;
    drop(catalog);
    let catalog = fixture.open();
    let count = read(&catalog, |tx| {
        snapshots::count_manual(tx, &samples::region(), &samples::account(1))
    });
    assert_eq!(count.await, 64);
}

/// Two processes' worth of catalogs on one place see each other's commits and never clash.
pub async fn two_openers_share(fixture: &impl Fixture) {
    let (one, other) = (fixture.open(), fixture.open());
    let mut tasks = JoinSet::new();
    for task in 0..40_u32 {
        let catalog = if task % 2 == 0 { &one } else { &other };
        tasks.spawn(write(catalog, |tx| tx.next_version()));
    }
    let mut drawn = tasks.join_all().await;
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 40, "a version was drawn twice");
    write(&one, |tx| meta::set(tx, "seen", "yes")).await;
    let seen = read(&other, |tx| meta::get(tx, "seen")).await;
    assert_eq!(seen.as_deref(), Some("yes"));
}
