//! What keeps the rest in order: the condemned, the outbox, uids and events.
//!
//! It does not know who works on them.
use std::{collections::HashSet, time::Duration};

use model::{Arn, JobKind, Timestamp, cluster::Base};

use super::{Fixture, read, samples, write};
use crate::Record;
use crate::tables::{
    accounts, clusters,
    events::{self, Event, Filter},
    jobs, meta, outbox, recorded, snapshots, tombstones, uids, verified, webhooks,
};

/// Condemned names count as absent; deleted ones stay on the list until they are forgotten.
pub async fn the_condemned_come_and_go(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let region = samples::region();
    let paths: Vec<String> = ["v/a/packs/1", "v/a/packs/2", "v/a0/packs/3"]
        .map(str::to_owned)
        .into();
    let all = paths.clone();
    let outcome = write(&catalog, move |tx| {
        let added = tombstones::condemn(tx, &region, &all)?;
        let again = tombstones::condemn(tx, &region, &all[..1])?;
        let far = tombstones::list(tx, &samples::other_region(), "")?;
        Ok((
            added,
            again,
            far.len(),
            tombstones::list(tx, &region, "v/a/")?,
            tombstones::waiting(tx, &region, "v/a/")?,
            tx.now(),
        ))
    })
    .await;
    let expected: HashSet<String> = paths[..2].iter().cloned().collect();
    let (added, again, far, listed, waiting, now) = outcome;
    assert_eq!((added, again, far, listed), (3, 0, 0, expected));
    let since: Vec<_> = paths[..2].iter().map(|path| (path.clone(), now)).collect();
    assert_eq!(waiting, since);
    let (rest, waiting, listed) = write(&catalog, move |tx| {
        let region = samples::region();
        tombstones::mark_deleted(tx, &region, &paths[..1])?;
        Ok((
            paths[1..].to_vec(),
            tombstones::waiting(tx, &region, "v/")?,
            tombstones::list(tx, &region, "v/")?.len(),
        ))
    })
    .await;
    assert_eq!(listed, 3);
    let waiting: Vec<_> = waiting.into_iter().map(|(path, _)| path).collect();
    assert_eq!(waiting, rest);
    let forgotten = write(&catalog, |tx| {
        tombstones::forget(tx, &samples::region(), Duration::from_secs(3_600), 10)
    });
    assert_eq!(forgotten.await, 0);
    let mut forgotten = 0;
    for _ in 0..5_000 {
        // The clock has to move on before an age of nothing has passed.
        forgotten += write(&catalog, |tx| {
            tombstones::forget(tx, &samples::region(), Duration::ZERO, 10)
        })
        .await;
        if forgotten == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let left = read(&catalog, |tx| tombstones::list(tx, &samples::region(), "")).await;
    assert_eq!((forgotten, left.len()), (1, 2));
}

/// Entries name what was changed, leave in the order they came, stay until they are done, and are
/// numbered once.
pub async fn entries_keep_their_order(fixture: &impl Fixture) {
    let catalog = fixture.open();
    assert_eq!(read(&catalog, outbox::lag).await.entries, 0);
    write(&catalog, |tx| {
        accounts::ensure(tx, &samples::account(1), "")?;
        // Nothing was changed, so there is nothing to tell.
        accounts::ensure(tx, &samples::account(1), "")
    })
    .await;
    write(&catalog, |tx| snapshots::insert(tx, samples::snapshot("s"))).await;
    write(&catalog, |tx| accounts::delete(tx, &samples::account(1))).await;
    let taken = read(&catalog, |tx| outbox::take(tx, 2)).await;
    let (account, snapshot) = (
        "accounts/111111111111",
        "snapshots/us-east-1/111111111111/s",
    );
    let paths: Vec<_> = taken.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, [account, snapshot]);
    assert_eq!(taken[0].region, None);
    assert_eq!(taken[1].region, Some(samples::region()));
    let lag = read(&catalog, outbox::lag).await;
    assert_eq!(lag.entries, 3);
    assert!(lag.oldest.is_some());
    let (gone, there, position) = read(&catalog, |tx| {
        Ok((
            recorded::find(tx, account)?,
            recorded::find(tx, snapshot)?,
            meta::version(tx)?,
        ))
    })
    .await;
    assert_eq!(gone, None);
    let there: model::Snapshot = there.expect("there").read().expect("a snapshot");
    assert_eq!(there.path(), snapshot);
    let last = write(&catalog, |tx| {
        let all = outbox::take(tx, 10)?;
        let seqs: Vec<i64> = all.iter().map(|entry| entry.seq).collect();
        outbox::done(tx, &seqs)?;
        accounts::ensure(tx, &samples::account(2), "")?;
        Ok(all.last().map(|entry| (entry.seq, entry.version)))
    })
    .await
    .expect("an entry");
    assert!(last.1 <= position, "a version is above the position");
    let next = read(&catalog, |tx| outbox::take(tx, 10)).await;
    assert_eq!(next.len(), 1);
    assert!(last.0 < next[0].seq, "an entry's number was used again");
    assert!(last.1 < next[0].version, "a version was drawn twice");
}

/// The highest OS user id is known, in whatever order they were noted.
pub async fn the_highest_uid_is_known(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut known = vec![read(&catalog, uids::last).await];
    for uid in [70_000, 70_001, 60_000, 80_000, 70_002] {
        write(&catalog, move |tx| uids::note(tx, uid)).await;
        known.push(read(&catalog, uids::last).await);
    }
    let highest = [70_000, 70_001, 70_001, 80_000, 80_000];
    assert_eq!(known[0], None);
    assert_eq!(known[1..], highest.map(Some));
}

fn event(id: &str, source: &str, at: i64) -> Event {
    Event {
        region: samples::region(),
        account: samples::account(1),
        source_type: "db-cluster-snapshot".to_owned(),
        source_id: source.to_owned(),
        source_arn: Arn::rds(
            &samples::region(),
            &samples::account(1),
            "cluster-snapshot",
            source,
        ),
        categories: vec!["backup".to_owned()],
        message: "Manual cluster snapshot created.".to_owned(),
        event_id: id.to_owned(),
        at: Timestamp(at),
    }
}

/// Events come by time, in pages, between two moments, of one source.
pub async fn events_are_paged(fixture: &impl Fixture) {
    let catalog = fixture.open();
    write(&catalog, |tx| {
        for (id, source, at) in [
            ("e3", "s", 30),
            ("e1", "s", 10),
            ("e2", "t", 20),
            ("e2b", "s", 20),
            ("e9", "s", 90),
        ] {
            events::insert(tx, &event(id, source, at))?;
        }
        // One that has no category goes to webhooks alone.
        let mut other = event("other", "s", 40);
        other.categories.clear();
        events::insert(tx, &other)?;
        Ok(())
    })
    .await;
    let list = |source: Option<&str>, after, limit| {
        let filter = Filter {
            source_type: Some("db-cluster-snapshot".to_owned()),
            source_id: source.map(str::to_owned),
            from: Timestamp(10),
            to: Timestamp(90),
            categories: Vec::new(),
        };
        read(&catalog, move |tx| {
            events::list(
                tx,
                &samples::region(),
                &samples::account(1),
                &filter,
                after,
                limit,
            )
        })
    };
    let first = list(None, None, 2).await;
    let second = list(None, first.last().map(|(after, _)| *after), 10).await;
    let ids: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|(_, event)| event.event_id.as_str())
        .collect();
    assert_eq!(ids, ["e1", "e2", "e2b", "e3"]);
    assert_eq!(first[0].1, event("e1", "s", 10));
    assert_eq!(list(Some("t"), None, 10).await.len(), 1);
    for (categories, count) in [
        (vec!["backup"], 5),
        (vec!["failure"], 0),
        (vec!["failure", "backup"], 5),
        (vec!["back"], 0),
    ] {
        let filter = Filter {
            source_type: None,
            source_id: None,
            from: Timestamp(0),
            to: Timestamp(100),
            categories: categories.into_iter().map(str::to_owned).collect(),
        };
        let found = read(&catalog, move |tx| {
            events::list(
                tx,
                &samples::region(),
                &samples::account(1),
                &filter,
                None,
                10,
            )
        })
        .await;
        assert_eq!(found.len(), count);
    }
    let pruned = write(&catalog, |tx| {
        events::prune(tx, Duration::from_secs(60), 100)
    });
    assert_eq!(pruned.await, 6);
}

/// A webhook's place is kept, and events behind it come in the order they were kept.
pub async fn webhooks_keep_their_place(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let address = "https://a.example/hook";
    assert_eq!(read(&catalog, events::newest).await, 0);
    assert_eq!(
        read(&catalog, move |tx| webhooks::place(tx, address)).await,
        None
    );
    write(&catalog, |tx| {
        for (id, at) in [("late", 30), ("early", 10), ("middle", 20)] {
            events::insert(tx, &event(id, "s", at))?;
        }
        Ok(())
    })
    .await;
    let all = read(&catalog, |tx| events::behind(tx, 0, 10)).await;
    let ids: Vec<_> = all.iter().map(|(_, one)| one.event_id.as_str()).collect();
    assert_eq!(ids, ["late", "early", "middle"]);
    let first = all[0].0;
    write(&catalog, move |tx| webhooks::keep(tx, address, first)).await;
    // A delivery that reports late takes nothing back.
    write(&catalog, move |tx| webhooks::keep(tx, address, first - 1)).await;
    let rest = read(&catalog, move |tx| {
        let place = webhooks::place(tx, address)?.expect("it was kept");
        events::behind(tx, place, 1)
    })
    .await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].1.event_id, "early");
    let newest = read(&catalog, events::newest).await;
    assert_eq!(newest, all[2].0);
}

/// Every manifest that a record needs is found once, and notes go with their job.
pub async fn what_is_verified_is_noted(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let volume = samples::volume();
    let of = volume.clone();
    write(&catalog, move |tx| {
        for (name, byte, region) in [
            ("a", 2, samples::region()),
            ("b", 1, samples::region()),
            ("copy-of-b", 1, samples::region()),
            ("far", 1, samples::other_region()),
        ] {
            let snapshot = model::Snapshot {
                region,
                content: Some(samples::content(&of, samples::hash(byte))),
                ..samples::snapshot(name)
            };
            snapshots::insert(tx, snapshot)?;
        }
        snapshots::insert(tx, samples::snapshot("empty"))?;
        let cluster = model::Cluster {
            volume: of.clone(),
            base: Some(Base {
                manifest: samples::hash(3),
                wrapped_key: None,
                change: None,
            }),
            ..samples::cluster("based")
        };
        clusters::insert(tx, cluster)?;
        Ok(())
    })
    .await;
    let place = |region, byte| (region, volume.clone(), samples::hash(byte));
    let (here, far) = (samples::region(), samples::other_region());
    let all = [(&far, 1), (&here, 1), (&here, 2), (&here, 3)]
        .map(|(region, byte)| place(region.clone(), byte));
    let asked = all.clone();
    read(&catalog, move |tx| {
        assert_eq!(verified::places(tx, None, None, 10)?, asked);
        assert_eq!(verified::places(tx, None, Some(&asked[0]), 2)?, asked[1..3]);
        let only = verified::places(tx, Some(&asked[1].0), Some(&asked[1]), 10)?;
        assert_eq!(only, asked[2..]);
        let (snapshots, clusters) = verified::needing(tx, &asked[1])?;
        let names: Vec<&str> = snapshots.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, clusters.len()), (vec!["b", "copy-of-b"], 0));
        assert_eq!(verified::needing(tx, &asked[3])?.1.len(), 1);
        Ok(())
    })
    .await;
    let job = samples::job(JobKind::of("verify-vault"), "vault");
    write(&catalog, move |tx| {
        jobs::insert(tx, &job)?;
        let hashes = [samples::hash(7), samples::hash(8)];
        for _ in 0..2 {
            verified::note(tx, job.id, &all[0].0, &all[0].1, &hashes)?;
        }
        let noted = |tx: &mut dyn crate::Tx, place: &verified::Place| {
            verified::noted(tx, job.id, &place.0, &place.1).map(|noted| noted.len())
        };
        assert_eq!((noted(tx, &all[0])?, noted(tx, &all[1])?), (2, 0));
        assert_eq!(verified::forget(tx, 10)?, 0, "the job is open");
        assert_eq!(
            jobs::newest(tx, &JobKind::of("verify-vault"))?.as_ref(),
            Some(&job)
        );
        jobs::cancel(tx, job.id)?;
        assert_eq!((verified::forget(tx, 1)?, verified::forget(tx, 9)?), (1, 1));
        Ok(())
    })
    .await;
}
