//! Volumes that a sweep has to look at: who marks them, and how a mark goes.
//!
//! It does not know what a sweep does there.
use std::time::Duration;

use model::{JobKind, JobState, Region, Snapshot, VolumeRef, cluster::Base, job::Pin};

use super::{Fixture, read, samples, write};
use crate::{
    error::CatalogError,
    tables::{
        clusters, dirty_volumes,
        jobs::{self, Claim, End, Lease},
        snapshots,
    },
    transaction::Tx,
};

const LIMIT: usize = 10;

/// Takes all marks away; answers which volumes had one.
fn drain(tx: &mut dyn Tx, region: &Region) -> Result<Vec<VolumeRef>, CatalogError> {
    let due = dirty_volumes::due(tx, region, None, LIMIT)?;
    for volume in &due {
        let mark = dirty_volumes::get(tx, region, volume)?;
        dirty_volumes::settle(tx, region, volume, mark, None)?;
    }
    Ok(due)
}

fn holding(name: &str, volume: &VolumeRef, byte: u8) -> Snapshot {
    Snapshot {
        content: Some(samples::content(volume, samples::hash(byte))),
        ..samples::snapshot(name)
    }
}

fn based_on(byte: u8) -> Option<Base> {
    Some(Base {
        manifest: samples::hash(byte),
        wrapped_key: None,
        change: None,
    })
}

/// The last record that needed a manifest marks its volume when it stops to, in every way.
pub async fn the_last_to_need_a_manifest_marks(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let volume = samples::volume();
    write(&catalog, move |tx| {
        let region = samples::region();
        let marked = vec![volume.clone()];
        let gone = |tx: &mut dyn Tx, name: &str| {
            let sample = samples::snapshot(name);
            snapshots::delete(tx, &sample.region, &sample.account, &sample.name)
        };
        for (name, byte) in [("a", 1), ("copy-of-a", 1), ("b", 2), ("c", 3)] {
            snapshots::insert(tx, holding(name, &volume, byte))?;
        }
        snapshots::insert(tx, samples::snapshot("empty"))?;
        assert!(drain(tx, &region)?.is_empty(), "nothing ended");
        gone(tx, "empty")?;
        gone(tx, "copy-of-a")?;
        assert!(drain(tx, &region)?.is_empty(), "another needs it still");
        gone(tx, "a")?;
        assert_eq!(drain(tx, &region)?, marked);
        assert!(dirty_volumes::due(tx, &samples::other_region(), None, LIMIT)?.is_empty());

        let sample = samples::snapshot("c");
        let mut stored = snapshots::get(tx, &region, &sample.account, &sample.name)?.expect("kept");
        stored.value.percent_progress = 5;
        stored = snapshots::update(tx, stored)?;
        assert!(drain(tx, &region)?.is_empty(), "it needs what it needed");
        stored.value.content = None;
        snapshots::update(tx, stored)?;
        assert_eq!(drain(tx, &region)?, marked);

        let cluster = model::Cluster {
            volume: volume.clone(),
            base: based_on(2),
            ..samples::cluster("k")
        };
        let mut stored = clusters::insert(tx, cluster)?;
        stored.value.base = based_on(4);
        stored = clusters::update(tx, stored)?;
        assert!(
            drain(tx, &region)?.is_empty(),
            "a snapshot needs the old base"
        );
        stored.value.base = based_on(5);
        stored = clusters::update(tx, stored)?;
        assert_eq!(drain(tx, &region)?, marked);
        clusters::delete(tx, &region, &stored.value.account, &stored.value.name)?;
        assert_eq!(drain(tx, &region)?, marked);
        Ok(())
    })
    .await;
}

/// A job that ends marks what its tries may have left, in each region that it named.
pub async fn jobs_mark_what_they_leave(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let volume = samples::volume();
    write(&catalog, move |tx| {
        let claim = Claim {
            owner: "node/1".to_owned(),
            node: "node-1".to_owned(),
            free: true,
            kinds: Vec::new(),
            except: Vec::new(),
            lease: Duration::from_secs(60),
        };
        let pin = |region, manifest: Option<u8>| Pin {
            region,
            volume: volume.clone(),
            manifest: manifest.map(samples::hash),
        };
        let tried = |tx: &mut dyn Tx, tries: u32, manifest, end: Option<End>| {
            let job = model::Job {
                pins: vec![
                    pin(samples::region(), manifest),
                    pin(samples::other_region(), None),
                ],
                ..samples::job(JobKind::of("copy-snapshot"), "s")
            };
            jobs::insert(tx, &job)?;
            for number in 1..=tries {
                let held = jobs::claim(tx, &claim)?.expect("it is due");
                let lease = Lease::of(&held).expect("it was claimed");
                match &end {
                    Some(end) if number == tries => jobs::finish(tx, &lease, end)?,
                    _ if number < tries => jobs::release(tx, &lease, Duration::ZERO, None)?,
                    _ => {}
                }
            }
            if end.is_none() {
                jobs::cancel(tx, job.id)?;
            }
            assert_ne!(jobs::get(tx, job.id)?.expect("kept").state, JobState::Open);
            Ok::<_, CatalogError>((
                drain(tx, &samples::region())?.len(),
                drain(tx, &samples::other_region())?.len(),
            ))
        };
        assert_eq!(tried(tx, 0, None, None)?, (0, 0), "it wrote nothing");
        assert_eq!(
            tried(tx, 1, None, Some(End::Done))?,
            (0, 0),
            "all is reached"
        );
        assert_eq!(tried(tx, 1, None, None)?, (1, 1));
        assert_eq!(
            tried(tx, 1, None, Some(End::Failed("x".to_owned())))?,
            (1, 1)
        );
        assert_eq!(tried(tx, 2, None, Some(End::Done))?, (1, 1));
        assert_eq!(
            tried(tx, 1, Some(1), Some(End::Done))?,
            (1, 0),
            "only the job needed that manifest"
        );
        snapshots::insert(tx, holding("s", &volume, 1))?;
        assert_eq!(tried(tx, 1, Some(1), Some(End::Done))?, (0, 0));
        Ok(())
    })
    .await;
}

/// A mark goes only as it was read: one that was put since then stays, and is due at once.
pub async fn marks_go_as_they_were_read(fixture: &impl Fixture) {
    let catalog = fixture.open();
    let mut volumes = [samples::volume(), samples::volume(), samples::volume()];
    volumes.sort_by_key(ToString::to_string);
    let [first, second, third] = volumes.clone();
    let (region, hour) = (samples::region(), Duration::from_secs(3_600));
    let (of, at) = (first.clone(), region.clone());
    let old = write(&catalog, move |tx| {
        dirty_volumes::put(tx, &at, &of)?;
        dirty_volumes::get(tx, &at, &of)
    })
    .await;
    assert!(old.is_some());
    let (of, at) = (first.clone(), region.clone());
    write(&catalog, move |tx| {
        let later = tx.now().plus(hour);
        dirty_volumes::put(tx, &at, &of)?;
        dirty_volumes::settle(tx, &at, &of, old, None)?;
        dirty_volumes::settle(tx, &at, &of, old, Some(later))?;
        assert_eq!(
            dirty_volumes::due(tx, &at, None, LIMIT)?,
            std::slice::from_ref(&of)
        );
        let new = dirty_volumes::get(tx, &at, &of)?;
        assert_ne!(new, old);
        dirty_volumes::settle(tx, &at, &of, new, Some(later))?;
        assert!(dirty_volumes::due(tx, &at, None, LIMIT)?.is_empty());
        assert!(
            dirty_volumes::get(tx, &at, &of)?.is_some(),
            "it waits for its time"
        );
        dirty_volumes::put(tx, &at, &of)?;
        assert_eq!(
            dirty_volumes::due(tx, &at, None, LIMIT)?,
            std::slice::from_ref(&of)
        );
        let new = dirty_volumes::get(tx, &at, &of)?;
        dirty_volumes::settle(tx, &at, &of, new, None)?;
        // One that was taken away and put anew is not the one that was read.
        dirty_volumes::put(tx, &at, &of)?;
        dirty_volumes::settle(tx, &at, &of, new, None)?;
        assert_eq!(
            dirty_volumes::due(tx, &at, None, LIMIT)?,
            std::slice::from_ref(&of)
        );
        Ok(())
    })
    .await;
    write(&catalog, move |tx| {
        let now = tx.now();
        dirty_volumes::settle(tx, &region, &third, None, None)?;
        assert_eq!(dirty_volumes::get(tx, &region, &third)?, None);
        for volume in [&third, &second] {
            dirty_volumes::settle(tx, &region, volume, None, Some(now))?;
        }
        let mark = dirty_volumes::get(tx, &region, &first)?.expect("it was put");
        dirty_volumes::settle(tx, &region, &first, None, Some(now.plus(hour)))?;
        assert_eq!(dirty_volumes::get(tx, &region, &first)?, Some(mark));
        Ok(())
    })
    .await;
    let [first, second, third] = volumes;
    read(&catalog, move |tx| {
        let region = samples::region();
        let page = dirty_volumes::due(tx, &region, None, 2)?;
        assert_eq!(page, [first.clone(), second.clone()]);
        assert_eq!(
            dirty_volumes::due(tx, &region, page.last(), 2)?,
            std::slice::from_ref(&third)
        );
        Ok(())
    })
    .await;
}
