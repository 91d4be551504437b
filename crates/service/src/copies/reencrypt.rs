//! Copies that share no key with their source: when a copy is one, and what its job begins with.
//!
//! It does not know how bytes are sealed. Argued in docs/decisions/0009-re-encryption.md.
use catalog::{Tx, snapshots};
use model::{
    Arn, Job, Snapshot, SnapshotStatus, VolumeRef, WrappedKey,
    cluster::Base,
    job::{Pin, Subject},
};

use super::copier::Copier;
use crate::{
    fault::Fault,
    jobs::{
        copy_document::{self, Extent, Reencryption},
        copy_snapshot::CopySnapshot,
        new_job,
    },
    keys::{RdsUse, TargetKey, snapshot_context},
};

/// Records looked at for an earlier copy.
const EARLIER_MAX: usize = 20;

/// Whether copies into this region may be sealed anew at all.
pub fn is_set(copier: &Copier<'_>) -> bool {
    copier.context.settings.reencrypt.contains(copier.region)
}

/// Whether a copy into this region is sealed anew: the setting is on, and its key or its account
/// is another than the source's.
pub fn applies(
    copier: &Copier<'_>,
    source: &Snapshot,
    wrapped: &WrappedKey,
    key: &TargetKey,
) -> bool {
    is_set(copier) && (wrapped.key != key.arn() || is_of_another(source, copier.account))
}

/// Whether the blocks of a snapshot's volume were another account's.
fn is_of_another(source: &Snapshot, account: &model::Account) -> bool {
    let volume = source.content.as_ref().map(|content| &content.volume);
    source.account != *account || volume.is_some_and(|volume| volume.account != *account)
}

/// Whether a copy from another deployment is sealed anew: as within one, and always when the
/// data is another account's. Of an unencrypted snapshot then no block comes along that is not
/// the snapshot's.
pub fn applies_across(copier: &Copier<'_>, source: &Snapshot) -> bool {
    is_of_another(source, copier.account) || (is_set(copier) && source.storage_encrypted)
}

/// Has the target's key make the copy's data key, as the caller. An unencrypted copy has none.
pub async fn begin(
    here: &RdsUse<'_>,
    key: Option<&TargetKey>,
    copy: &Snapshot,
    origin: &VolumeRef,
) -> Result<Reencryption, Fault> {
    let arn = key.map_or(String::new(), |key| key.arn().to_string());
    let volume = vault::volume_reencrypted(&copy.region, &copy.account, origin, &arn);
    let context = snapshot_context(&copy.account, &copy.uid, &volume);
    let wrapped_key = match key {
        Some(key) => Some(here.generate(key, context).await?.1),
        None => None,
    };
    let extent = if origin.account == copy.account {
        Extent::Frames
    } else {
        Extent::Blocks
    };
    Ok(Reencryption {
        volume,
        wrapped_key,
        extent,
        base: None,
        checkpoint: None,
    })
}

/// The job of a copy that is sealed anew; its record waits for it. With a pass the source is
/// another deployment's.
pub fn job(
    copier: &Copier<'_>,
    source: &Snapshot,
    copy: &mut Snapshot,
    reencryption: Reencryption,
    pass: Option<String>,
) -> Job {
    copy.status = SnapshotStatus::Copying;
    copy.percent_progress = 0;
    let content = copy.content.clone();
    let content = content.expect("a copy's content was decided before its job");
    let mut pins = vec![Pin {
        region: copy.region.clone(),
        volume: reencryption.volume.clone(),
        manifest: None,
    }];
    // What another deployment keeps is not ours to pin.
    if pass.is_none() {
        pins.push(Pin {
            region: source.region.clone(),
            volume: content.volume.clone(),
            manifest: Some(content.manifest),
        });
    }
    let body = copy_document::Body {
        snapshot: copy.uid,
        source: Arn::clone(&source.arn()),
        source_region: source.region.clone(),
        content,
        pass,
        reencryption: Some(reencryption),
    };
    let subject = Subject::snapshot(&copy.region, &copy.account, &copy.name);
    let mut job = new_job::<CopySnapshot>(copier.context, subject, &body);
    job.pins = pins;
    job
}

/// Gives the job of a copy that is sealed anew the latest copy before it as its base, in the
/// transaction that pins it.
pub fn with_base(tx: &mut dyn Tx, mut job: Job, copy: &Snapshot) -> Result<Job, Fault> {
    let body = serde_json::from_str::<copy_document::Body>(&job.body);
    let mut body = body.map_err(|error| Fault::internal(&error))?;
    let Some(reencryption) = &mut body.reencryption else {
        return Ok(job);
    };
    let (region, account) = (&copy.region, &copy.account);
    let earlier = snapshots::in_volume(tx, region, &reencryption.volume, account, EARLIER_MAX)?;
    // A snapshot of a cluster that was restored from a copy lies there too, and has no map.
    let earlier = earlier.into_iter().map(|stored| stored.value);
    let found = earlier
        .filter(|one| one.source.is_some() && one.kms_key == copy.kms_key)
        .find_map(|one| one.content);
    if let Some(content) = found {
        job.pins.push(Pin {
            region: region.clone(),
            volume: reencryption.volume.clone(),
            manifest: Some(content.manifest),
        });
        reencryption.base = Some(Base {
            manifest: content.manifest,
            wrapped_key: content.wrapped_key,
            change: None,
        });
        job.body = serde_json::to_string(&body).expect("a job's document serializes");
    }
    Ok(job)
}
