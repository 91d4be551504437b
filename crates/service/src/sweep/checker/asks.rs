//! What the actions commit: a copy, a snapshot, and a record's end.
//!
//! It does not know who asks, nor when.
use catalog::{CatalogError, Tx, conformance::samples, jobs, snapshots};
use model::{
    Content, JobKind, Region, Snapshot, SnapshotStatus,
    job::{Job, Pin, Subject},
};

use super::{
    broken::Broken,
    fixture::{far, home},
};
use crate::jobs::{copy_document, create_snapshot};

pub(in crate::sweep) fn available(region: &Region, name: &str, content: Content) -> Snapshot {
    Snapshot {
        region: region.clone(),
        status: SnapshotStatus::Available,
        content: Some(content),
        ..samples::snapshot(name)
    }
}

/// What the action CopyDBClusterSnapshot commits for a copy to another region: both rows, once
/// the source is there.
pub(in crate::sweep) fn ask_for_copy(
    tx: &mut dyn Tx,
    source: &str,
    name: &str,
    broken: Broken,
) -> Result<(), CatalogError> {
    let sample = samples::snapshot(source);
    let Some(stored) = snapshots::get(tx, &home(), &sample.account, &sample.name)? else {
        return Ok(());
    };
    let content = stored.value.content.clone().expect("sources are available");
    let copy = Snapshot {
        region: far(),
        status: SnapshotStatus::Copying,
        source: Some(stored.value.arn()),
        ..samples::snapshot(name)
    };
    let pin = |region: Region| Pin {
        region,
        volume: content.volume.clone(),
        manifest: Some(content.manifest),
    };
    let body = copy_document::Body {
        snapshot: copy.uid,
        source: stored.value.arn(),
        source_region: home(),
        content: content.clone(),
        pass: None,
        reencryption: None,
    };
    let pins = vec![pin(home()), pin(far())];
    insert_job(tx, JobKind::of("copy-snapshot"), &copy, pins, &body, broken)?;
    snapshots::insert(tx, copy).map(drop)
}

/// What the action CreateDBClusterSnapshot commits.
pub(in crate::sweep) fn ask_for_snapshot(
    tx: &mut dyn Tx,
    cluster: &model::Cluster,
    name: &str,
    broken: Broken,
) -> Result<(), CatalogError> {
    let snapshot = samples::snapshot(name);
    let pins = vec![Pin {
        region: home(),
        volume: cluster.volume.clone(),
        manifest: cluster.base.as_ref().map(|base| base.manifest),
    }];
    let body = create_snapshot::Body {
        snapshot: snapshot.uid,
        cluster: cluster.resource_id.clone(),
        wrapped_key: None,
    };
    insert_job(
        tx,
        JobKind::of("create-snapshot"),
        &snapshot,
        pins,
        &body,
        broken,
    )?;
    snapshots::insert(tx, snapshot).map(drop)
}

fn insert_job(
    tx: &mut dyn Tx,
    kind: JobKind,
    subject: &Snapshot,
    pins: Vec<Pin>,
    body: &impl serde::Serialize,
    broken: Broken,
) -> Result<(), CatalogError> {
    let now = tx.now();
    let job = Job {
        created_at: now,
        run_after: now,
        pins: if broken == Broken::JobsPinNothing {
            Vec::new()
        } else {
            pins
        },
        body: serde_json::to_string(body).expect("it serializes"),
        ..samples::job_of(
            kind,
            &subject.region,
            &subject.account,
            subject.name.as_str(),
        )
    };
    jobs::insert(tx, &job)
}

/// What the action DeleteDBClusterSnapshot commits.
pub(in crate::sweep) fn delete(
    tx: &mut dyn Tx,
    region: &Region,
    name: &str,
) -> Result<(), CatalogError> {
    let sample = samples::snapshot(name);
    let subject = Subject::snapshot(region, &sample.account, &sample.name);
    for job in jobs::of_subject(tx, &subject, &JobKind::of("copy-snapshot"))? {
        jobs::cancel(tx, job.id)?;
    }
    snapshots::delete(tx, region, &sample.account, &sample.name).map(drop)
}
