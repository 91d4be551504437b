//! Jobs: claims, leases, fences, and turns.
//!
//! It does not know what jobs do.
use std::{sync::Arc, time::Duration};

use model::{
    Job, JobKind, JobState, SnapshotStatus, Timestamp,
    job::{Pin, Progress, Subject},
    limits,
};

use super::{Fixture, read, samples, write};
use crate::{
    error::CatalogError,
    tables::{
        jobs::{self, Checkpoint, Claim, End, Except, Lease},
        pins, snapshots,
        transfer_holds::{self, Redeemed},
    },
    transaction::{Catalog, CatalogExt},
};

const LONG: Duration = Duration::from_secs(3_600);

fn claim(owner: &str, lease: Duration) -> Claim {
    Claim {
        owner: owner.to_owned(),
        node: "node-1".to_owned(),
        free: true,
        kinds: Vec::new(),
        except: Vec::new(),
        lease,
    }
}

async fn take(catalog: &Arc<dyn Catalog>, wanted: Claim) -> Option<Job> {
    write(catalog, move |tx| jobs::claim(tx, &wanted)).await
}

/// Claims as `owner` until there is something; bounded, since the lease to wait out is short.
async fn take_soon(catalog: &Arc<dyn Catalog>, owner: &str) -> Job {
    for _ in 0..5_000 {
        if let Some(job) = take(catalog, claim(owner, LONG)).await {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("an expired lease was not taken over");
}

async fn add(catalog: &Arc<dyn Catalog>, job: &Job) {
    let job = job.clone();
    write(catalog, move |tx| jobs::insert(tx, &job)).await;
}

fn lease_of(job: &Job) -> Lease {
    Lease::of(job).expect("it was claimed")
}

/// Of a cancel and a finish at once, exactly one wins, and the record agrees with it.
pub async fn cancel_against_finish(fixture: &impl Fixture) {
    let catalog = fixture.open();
    for round in 0..20 {
        let name = format!("s{round}");
        let job = samples::job(JobKind::of("create-snapshot"), &name);
        let made = samples::snapshot(&name);
        let (added, snapshot) = (job.clone(), made.clone());
        write(&catalog, move |tx| {
            snapshots::insert(tx, snapshot.clone())?;
            jobs::insert(tx, &added)
        })
        .await;
        let claimed = take(&catalog, claim("a", LONG)).await.expect("a job");
        let lease = lease_of(&claimed);
        let (key, id) = (made.clone(), job.id);
        let finish = tokio::spawn({
            let catalog = Arc::clone(&catalog);
            async move {
                catalog
                    .write(move |tx| {
                        jobs::guard(tx, &lease)?;
                        let stored = snapshots::get(tx, &made.region, &made.account, &made.name)?;
                        let mut stored = stored.expect("it was not deleted");
                        stored.value.status = SnapshotStatus::Available;
                        snapshots::update(tx, stored)?;
                        jobs::finish(tx, &lease, &End::Done)
                    })
                    .await
            }
        });
        let canceled = write(&catalog, move |tx| jobs::cancel(tx, id)).await;
        let finished = finish.await.expect("it does not panic");
        let (state, status) = read(&catalog, move |tx| {
            let job = jobs::get(tx, id)?.expect("it is kept");
            let stored = snapshots::get(tx, &key.region, &key.account, &key.name)?;
            Ok((job.state, stored.expect("it is kept").value.status))
        })
        .await;
        match finished {
            Ok(()) => {
                assert!(!canceled, "both won");
                assert_eq!((state, status), (JobState::Done, SnapshotStatus::Available));
            }
            Err(CatalogError::LeaseLost { .. }) => {
                assert!(canceled, "neither won");
                assert_eq!(
                    (state, status),
                    (JobState::Canceled, SnapshotStatus::Creating)
                );
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// A job whose lease ran out is taken over, and its first holder can change nothing more.
pub async fn expired_leases_are_fenced(fixture: &impl Fixture) {
    let catalog = fixture.open();
    add(&catalog, &samples::job(JobKind::of("copy-snapshot"), "s")).await;
    let first = take(&catalog, claim("a", Duration::from_millis(1))).await;
    let first = first.expect("a job");
    let second = take_soon(&catalog, "b").await;
    assert_eq!(first.id, second.id);
    assert_eq!((first.attempts, second.attempts), (1, 2));
    assert!(first.fence < second.fence);
    let (old, new) = (lease_of(&first), lease_of(&second));
    let lost = |outcome: Result<(), CatalogError>| {
        assert!(
            matches!(outcome, Err(CatalogError::LeaseLost { .. })),
            "{outcome:?}"
        );
    };
    let lease = old.clone();
    lost(catalog.write(move |tx| jobs::guard(tx, &lease)).await);
    let lease = old.clone();
    lost(
        catalog
            .write(move |tx| jobs::checkpoint(tx, &lease, &Checkpoint::default()))
            .await,
    );
    let lease = old.clone();
    lost(
        catalog
            .write(move |tx| jobs::finish(tx, &lease, &End::Done))
            .await,
    );
    let lease = old.clone();
    lost(
        catalog
            .write(move |tx| jobs::release(tx, &lease, Duration::ZERO, None))
            .await,
    );
    let renewed = write(&catalog, move |tx| {
        jobs::renew(tx, &old, LONG, &Progress::default())
    });
    assert!(!renewed.await);
    // A runner that was restarted under the same name has another fence.
    let same_name = Lease {
        fence: first.fence,
        ..new.clone()
    };
    lost(catalog.write(move |tx| jobs::guard(tx, &same_name)).await);
    write(&catalog, move |tx| {
        jobs::finish(tx, &new, &End::Failed("no reason".to_owned()))
    })
    .await;
    let ended = read(&catalog, move |tx| jobs::get(tx, first.id))
        .await
        .expect("it is kept");
    assert_eq!(
        (ended.state, ended.error.as_deref()),
        (JobState::Failed, Some("no reason"))
    );
}

/// A held job is not given to another; a renewed one stays held; a released one comes back.
pub async fn live_leases_are_respected(fixture: &impl Fixture) {
    let catalog = fixture.open();
    add(&catalog, &samples::job(JobKind::of("copy-snapshot"), "s")).await;
    let job = take(&catalog, claim("a", Duration::from_secs(60)))
        .await
        .expect("a job");
    assert_eq!(take(&catalog, claim("b", LONG)).await, None);
    let lease = lease_of(&job);
    let (renewed, again) = write(&catalog, move |tx| {
        let renewed = jobs::renew(tx, &lease, LONG, &Progress::default())?;
        let until = tx.now().plus(LONG);
        let again = jobs::get(tx, lease.job)?.expect("it is kept");
        assert_eq!(again.lease_until, Some(until));
        jobs::release(tx, &lease, Duration::ZERO, Some("a hiccup"))?;
        let again = jobs::get(tx, lease.job)?.expect("it is kept");
        assert_eq!(again.run_after, tx.now());
        Ok((renewed, again))
    })
    .await;
    assert!(renewed);
    assert_eq!(again.lease_until, None);
    assert_eq!(again.error.as_deref(), Some("a hiccup"));
    let next = take(&catalog, claim("b", LONG))
        .await
        .expect("the released job");
    assert_eq!((next.attempts, next.lease_owner.as_deref()), (2, Some("b")));
}

/// A node that starts again gets back at once what its dead process held, and that only.
pub async fn a_dead_process_leaves_nothing_held(fixture: &impl Fixture) {
    let catalog = fixture.open();
    for subject in ["a", "b"] {
        add(
            &catalog,
            &samples::job(JobKind::of("copy-snapshot"), subject),
        )
        .await;
    }
    let dead = take(&catalog, claim("node-1/x", LONG))
        .await
        .expect("a job");
    let alive = take(&catalog, claim("node-10/y", LONG))
        .await
        .expect("a job");
    let released = write(&catalog, |tx| jobs::release_held_by(tx, "node-1/")).await;
    assert_eq!(released, 1);
    let (lost, held) = (lease_of(&dead), lease_of(&alive));
    write(&catalog, move |tx| jobs::guard(tx, &held)).await;
    let outcome = catalog.write(move |tx| jobs::guard(tx, &lost)).await;
    assert!(
        matches!(outcome, Err(CatalogError::LeaseLost { .. })),
        "{outcome:?}"
    );
    let again = take(&catalog, claim("node-1/z", LONG))
        .await
        .expect("the released job");
    assert_eq!(again.id, dead.id);
    assert!(dead.fence < again.fence);
}

/// A job waits for its node, for a runner of its kind, and for its time.
pub async fn jobs_wait_for_their_node_kind_and_time(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let elsewhere = Job {
        node: Some("node-2".to_owned()),
        ..samples::job(JobKind::of("create-cluster"), "c")
    };
    add(&catalog, &elsewhere).await;
    assert_eq!(take(&catalog, claim("a", LONG)).await, None);
    let here = Claim {
        node: "node-2".to_owned(),
        ..claim("a", LONG)
    };
    let other_kinds = Claim {
        kinds: vec![JobKind::of("copy-snapshot"), JobKind::of("delete-cluster")],
        ..here.clone()
    };
    assert_eq!(take(&catalog, other_kinds).await, None);
    let draining = Claim {
        node: "node-3".to_owned(),
        free: false,
        ..here.clone()
    };
    assert_eq!(take(&catalog, draining).await, None);
    let no_room = Claim {
        except: vec![Except::Kind(JobKind::of("create-cluster"))],
        ..here.clone()
    };
    assert_eq!(take(&catalog, no_room).await, None);
    let one_kind = Claim {
        kinds: vec![JobKind::of("create-cluster")],
        ..here
    };
    assert!(take(&catalog, one_kind).await.is_some());
    write(&catalog, |tx| {
        let job = Job {
            run_after: tx.now().plus(limits::JOB_SLEEP_MAX),
            ..samples::job(JobKind::of("copy-snapshot"), "s")
        };
        jobs::insert(tx, &job)
    })
    .await;
    assert_eq!(take(&catalog, claim("a", LONG)).await, None);
}

/// What a clock that was ahead wrote holds no job up: neither its sleep nor its lease.
pub async fn a_wrong_clock_holds_no_job_up(fixture: &impl Fixture) {
    let catalog = fixture.open();
    for (subject, asleep, held) in [("asleep", true, false), ("held", false, true)] {
        write(&catalog, move |tx| {
            let ahead = tx.now().plus(3 * LONG);
            let job = Job {
                run_after: if asleep { ahead } else { Timestamp(1) },
                lease_owner: held.then(|| "node-2/x".to_owned()),
                lease_until: held.then_some(ahead),
                ..samples::job(JobKind::of("copy-snapshot"), subject)
            };
            jobs::insert(tx, &job)
        })
        .await;
        let taken = take(&catalog, claim("a", LONG)).await;
        assert_eq!(taken.as_ref().map(|job| job.subject.name()), Some(subject));
    }
}

/// A runner is given nothing that it has no room for.
pub async fn a_runner_names_what_it_has_no_room_for(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut ids = Vec::new();
    for (digit, kind) in [
        (1, JobKind::of("copy-snapshot")),
        (1, JobKind::of("create-snapshot")),
        (2, JobKind::of("copy-snapshot")),
    ] {
        let job = samples::job_of(kind, &samples::region(), &samples::account(digit), "s");
        add(&catalog, &job).await;
        ids.push(job.id);
    }
    let copies_of =
        |digit| Except::KindOf(JobKind::of("copy-snapshot"), Some(samples::account(digit)));
    let all_of = |digit| Except::Of(Some(samples::account(digit)));
    for (except, expected) in [
        (vec![all_of(1), all_of(2)], None),
        (vec![all_of(1), copies_of(2)], None),
        (vec![copies_of(1), all_of(2)], Some(ids[1])),
        (
            vec![Except::Held(ids[0]), Except::Held(ids[2])],
            Some(ids[1]),
        ),
        (
            vec![Except::Kind(JobKind::of("create-snapshot")), all_of(1)],
            Some(ids[2]),
        ),
    ] {
        let wanted = Claim {
            except: except.clone(),
            ..claim("a", Duration::ZERO)
        };
        let taken = take(&catalog, wanted).await;
        assert_eq!(taken.map(|job| job.id), expected, "{except:?}");
    }
}

/// A job that could not be tried has lost no attempt, and its first holder is fenced all the same.
pub async fn putting_off_is_no_attempt(fixture: &impl Fixture) {
    let catalog = fixture.open();
    add(&catalog, &samples::job(JobKind::of("create-snapshot"), "s")).await;
    for turn in 1..=3_u64 {
        let job = take(&catalog, claim("a", LONG)).await.expect("it is due");
        assert_eq!((job.fence, job.attempts), (turn, 1));
        let lease = lease_of(&job);
        let late = lease.clone();
        write(&catalog, move |tx| {
            jobs::put_off(tx, &lease, Duration::ZERO, Some("no slot"))
        })
        .await;
        let outcome = catalog.write(move |tx| jobs::guard(tx, &late)).await;
        assert!(matches!(outcome, Err(CatalogError::LeaseLost { .. })));
    }
    let job = take(&catalog, claim("a", LONG)).await.expect("it is due");
    assert_eq!(job.error.as_deref(), Some("no slot"));
    let lease = lease_of(&job);
    let slept = write(&catalog, move |tx| {
        jobs::put_off(tx, &lease, 9 * LONG, None)?;
        let job = jobs::get(tx, lease.job)?.expect("it is kept");
        Ok(job.run_after.since(tx.now()))
    });
    assert_eq!(slept.await, limits::JOB_SLEEP_MAX);
}

/// One account's many jobs do not keep another's from their turn.
pub async fn accounts_take_turns(fixture: &impl Fixture) {
    let catalog = fixture.open();
    for (digit, subject, due) in [
        (1, "a", 1),
        (1, "b", 2),
        (1, "c", 3),
        (2, "d", 4),
        (2, "e", 5),
        (3, "f", 6),
    ] {
        let job = Job {
            run_after: Timestamp(due),
            ..samples::job_of(
                JobKind::of("copy-snapshot"),
                &samples::region(),
                &samples::account(digit),
                subject,
            )
        };
        add(&catalog, &job).await;
    }
    let mut order = String::new();
    while let Some(job) = take(&catalog, claim("a", LONG)).await {
        order.push_str(job.subject.name());
    }
    assert_eq!(order, "adfbec");
}

/// Rows of older releases do not say the sort of their subject; what does not read is claimed and
/// told, and holds up no other job.
pub async fn a_jobs_subject_is_read_or_told(fixture: &impl Fixture) {
    let catalog = fixture.open();
    for kind in ["create-cluster", "copy-snapshot", "verify-vault"] {
        let job = samples::job(JobKind::of(kind), "s");
        add(&catalog, &job).await;
        let (id, subject) = (job.id, job.subject);
        let older = write(&catalog, move |tx| {
            tx.execute("UPDATE jobs SET subject_sort = ''", &[])?;
            jobs::get(tx, id)
        })
        .await;
        assert_eq!(older.map(|job| job.subject), Some(subject), "{kind}");
    }
    let broken = write(&catalog, |tx| {
        tx.execute("UPDATE jobs SET subject = 'a b', account = 'x'", &[])
    })
    .await;
    assert_eq!(broken, 3);
    for _ in 0..3 {
        let job = take(&catalog, claim("a", LONG)).await.expect("claimed");
        let vault = job.kind == JobKind::of("verify-vault");
        assert_eq!(matches!(job.subject, Subject::Unreadable(_)), !vault);
    }
}

/// The account that holds the fewest leases comes first, in however many regions it asks; within
/// an account regions take turns.
pub async fn regions_have_turns_of_their_own(fixture: &impl Fixture) {
    let catalog = fixture.open();
    for (region, digit, subject, due) in [
        (samples::region(), 1, "a", 1),
        (samples::region(), 1, "b", 2),
        (samples::region(), 1, "c", 3),
        (samples::other_region(), 1, "d", 4),
        (samples::other_region(), 2, "e", 5),
    ] {
        let job = Job {
            run_after: Timestamp(due),
            ..samples::job_of(
                JobKind::of("copy-snapshot"),
                &region,
                &samples::account(digit),
                subject,
            )
        };
        add(&catalog, &job).await;
    }
    let mut order = String::new();
    while let Some(job) = take(&catalog, claim("a", LONG)).await {
        order.push_str(job.subject.name());
    }
    assert_eq!(order, "aedbc");
}

/// Progress that was recorded never falls, also across tries.
pub async fn progress_never_falls(fixture: &impl Fixture) {
    let catalog = fixture.open();
    add(&catalog, &samples::job(JobKind::of("copy-snapshot"), "s")).await;
    let first = take(&catalog, claim("a", Duration::from_millis(1)))
        .await
        .expect("a job");
    let progress = |bytes: u64| Progress {
        bytes_total: 100,
        bytes_done: bytes,
        bytes_shipped: bytes,
        objects_shipped: bytes / 10,
        bytes_held: bytes / 2,
    };
    let lease = lease_of(&first);
    let sixty = progress(60);
    assert!(
        write(&catalog, move |tx| jobs::renew(
            tx,
            &lease,
            Duration::ZERO,
            &sixty
        ))
        .await
    );
    let second = take_soon(&catalog, "b").await;
    assert_eq!(second.progress, sixty);
    let lease = lease_of(&second);
    let after = write(&catalog, move |tx| {
        let change = Checkpoint {
            body: Some("{\"step\":2}".to_owned()),
            progress: Some(progress(20)),
            pins: None,
        };
        jobs::checkpoint(tx, &lease, &change)?;
        Ok(jobs::get(tx, lease.job)?.expect("it is kept"))
    })
    .await;
    assert_eq!(
        after.progress,
        Progress {
            bytes_held: 10,
            ..sixty
        }
    );
    assert_eq!(after.body, "{\"step\":2}");
}

/// Jobs are found by their record, counted while open, listed newest first, and pruned by age.
pub async fn jobs_are_listed_and_pruned(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let old = samples::job(JobKind::of("copy-snapshot"), "s");
    let new = Job {
        created_at: Timestamp(2),
        ..samples::job(JobKind::of("copy-snapshot"), "s")
    };
    let other = Job {
        created_at: Timestamp(3),
        ..samples::job(JobKind::of("create-snapshot"), "s")
    };
    for job in [&old, &new, &other] {
        add(&catalog, job).await;
    }
    let (of_subject, open, all) = read(&catalog, |tx| {
        let (region, account) = (samples::region(), samples::account(1));
        let copies = JobKind::of("copy-snapshot");
        let subject = samples::job(copies.clone(), "s").subject;
        Ok((
            jobs::of_subject(tx, &subject, &copies)?,
            jobs::count_open(tx, &region, &account, &copies)?,
            jobs::list(tx, None, 2)?,
        ))
    })
    .await;
    assert_eq!(of_subject, [new.clone(), old.clone()]);
    assert_eq!(open, 2);
    assert_eq!(all, [other, new.clone()]);
    let (region, account) = (samples::region(), samples::account(1));
    let open_of = read(&catalog, move |tx| {
        let stranger = samples::account(2);
        assert!(jobs::open_of(tx, &region, &stranger, 10)?.is_empty());
        jobs::open_of(tx, &region, &account, 2)
    })
    .await;
    assert_eq!(open_of, all, "the newest two");
    let kept = JobKind::of("verify-vault");
    let (open, canceled, young) = write(&catalog, move |tx| {
        assert!(jobs::cancel(tx, new.id)?);
        assert!(!jobs::cancel(tx, new.id)?);
        Ok((
            jobs::list(tx, Some(JobState::Open), 10)?.len(),
            jobs::list(tx, Some(JobState::Canceled), 10)?.len(),
            jobs::prune(tx, LONG, (&kept, 0), 10)?,
        ))
    })
    .await;
    assert_eq!((open, canceled, young), (2, 1, 0));
    prune_all(&catalog, 0, 1).await;
    let left = read(&catalog, |tx| jobs::list(tx, None, 10)).await;
    assert_eq!(left.len(), 2);
}

/// Prunes whatever ended, but so many verifications, until so many jobs are gone and no more.
async fn prune_all(catalog: &Arc<dyn Catalog>, newest: usize, wanted: u64) {
    let mut pruned = 0;
    for _ in 0..5_000 {
        // The clock has to move on before an age of nothing has passed.
        pruned += write(catalog, move |tx| {
            jobs::prune(
                tx,
                Duration::ZERO,
                (&JobKind::of("verify-vault"), newest),
                10,
            )
        })
        .await;
        if pruned == wanted {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pruned, wanted);
}

/// The last jobs of a kind that were done are left when others of their age go.
pub async fn the_last_of_a_kind_are_kept(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut done = Vec::new();
    for name in ["a", "b", "c"] {
        for kind in ["verify-vault", "create-snapshot"] {
            add(&catalog, &samples::job(JobKind::of(kind), name)).await;
            let job = take(&catalog, claim("a", LONG)).await.expect("a job");
            let lease = lease_of(&job);
            write(&catalog, move |tx| jobs::finish(tx, &lease, &End::Done)).await;
            done.push((kind, job.id));
        }
        // Ends are told apart by their microsecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    prune_all(&catalog, 2, 4).await;
    let left = read(&catalog, |tx| jobs::list(tx, None, 10)).await;
    let mut left: Vec<_> = left.iter().map(|job| job.id).collect();
    let mut verified: Vec<_> = done
        .into_iter()
        .filter(|(kind, _)| *kind == "verify-vault")
        .map(|(_, id)| id)
        .skip(1)
        .collect();
    left.sort_unstable();
    verified.sort_unstable();
    assert_eq!(left, verified);
}

/// A volume is pinned by open jobs that name it, and by none that ended.
pub async fn pins_end_with_their_job(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let (volume, other) = (samples::volume(), samples::volume());
    let pin = |manifest| Pin {
        region: samples::region(),
        volume: volume.clone(),
        manifest,
    };
    let job = Job {
        pins: vec![pin(None)],
        ..samples::job(JobKind::of("copy-snapshot"), "s")
    };
    add(&catalog, &job).await;
    let pinned = |volume: &model::VolumeRef| {
        let volume = volume.clone();
        read(&catalog, move |tx| {
            pins::of_volume(tx, &samples::region(), &volume)
        })
    };
    let found = pinned(&volume).await;
    assert!(found.in_use && found.manifests.is_empty());
    assert!(!pinned(&other).await.in_use);
    let claimed = take(&catalog, claim("a", LONG)).await.expect("a job");
    let lease = lease_of(&claimed);
    let with_manifest = vec![pin(Some(samples::hash(7)))];
    let held = lease.clone();
    write(&catalog, move |tx| {
        let change = Checkpoint {
            pins: Some(with_manifest.clone()),
            ..Checkpoint::default()
        };
        jobs::checkpoint(tx, &held, &change)
    })
    .await;
    let found = pinned(&volume).await;
    assert_eq!(
        found.manifests.into_iter().collect::<Vec<_>>(),
        [samples::hash(7)]
    );
    write(&catalog, move |tx| jobs::finish(tx, &lease, &End::Done)).await;
    assert!(!pinned(&volume).await.in_use);
}

/// A ticket is used once, and what it names is held meanwhile.
pub async fn tickets_are_redeemed_once(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let (region, volume) = (samples::region(), samples::volume());
    let (at, of) = (region.clone(), volume.clone());
    let redeem = move |ticket: &'static str| {
        let (at, of) = (at.clone(), of.clone());
        write(&catalog.clone(), move |tx| {
            transfer_holds::redeem(tx, ticket, (&at, &of, samples::hash(7)))
        })
    };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        tasks.spawn(redeem("a"));
    }
    let outcomes = tasks.join_all().await;
    let now = outcomes.iter().filter(|one| **one == Redeemed::Now);
    assert_eq!(now.count(), 1, "{outcomes:?}");
    assert_eq!(redeem("b").await, Redeemed::Now);
    let catalog = fixture.open();
    let (at, of) = (region.clone(), volume.clone());
    write(&catalog, move |tx| {
        transfer_holds::hold(tx, "a", (&at, &of, samples::hash(7)))?;
        transfer_holds::hold(tx, "c", (&at, &of, samples::hash(8)))
    })
    .await;
    let pinned = read(&catalog, move |tx| pins::of_volume(tx, &region, &volume)).await;
    assert!(pinned.in_use);
    let held: Vec<_> = pinned.manifests.into_iter().collect();
    assert_eq!(held, [samples::hash(7), samples::hash(8)]);
}
