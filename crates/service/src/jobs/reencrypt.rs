//! The part of a copy's job that seals the snapshot anew: under the copy's own data key, in a
//! volume of its own, going on from what an earlier copy and an earlier try left there. It reads
//! the other region's vault, or by way of a link.
use catalog::{CatalogError, CatalogExt, jobs, tombstones};
use model::{Content, Hash, Told, VolumeRef, WrappedKey, job::Pin};
use tokio::runtime::Handle;
use vault::DataKey;

use super::{
    JobError, Reason,
    copy_document::{Body, Extent, Reencryption},
    run::Run,
};
use crate::{
    fault::chain,
    keys::{KeyError, KeyUser},
    link::http::{HttpLink, RemoteRegion},
};

/// Makes the copy, and answers its content.
pub(super) async fn run(
    run: &Run,
    body: &Body,
    reencryption: &Reencryption,
) -> Result<Content, JobError> {
    let context = &run.context;
    let of = run.snapshot()?.clone();
    let user = KeyUser::rds(&of.account, &of.region);
    let data_key = unwrap(run, &user, body.content.wrapped_key.as_ref()).await?;
    let fresh_key = unwrap(run, &user, reencryption.wrapped_key.as_ref()).await?;
    let base = base(run, &user, reencryption).await?;
    let (from, to) = (body.source_region.clone(), of.region.clone());
    let prefix = |volume: &VolumeRef| format!("volumes/{volume}/");
    let (here, there) = (prefix(&body.content.volume), prefix(&reencryption.volume));
    let (absent_here, absent_there) = context
        .catalog
        .read(move |tx| {
            Ok::<_, CatalogError>((
                tombstones::list(tx, &from, &here)?,
                tombstones::list(tx, &to, &there)?,
            ))
        })
        .await?;
    let target = context.vaults.get(&of.region)?;
    let source = match &body.pass {
        Some(_) => None,
        None => Some(context.vaults.get(&body.source_region)?),
    };
    let throttle = context.vaults.throttle(&of.region);
    let (run, body, reencryption) = (run.clone(), body.clone(), reencryption.clone());
    tokio::task::spawn_blocking(move || {
        let handle = Handle::current();
        let link = body.pass.as_deref().map(|pass| link(&run, &body, pass));
        let link = link.transpose()?;
        let from = match (&link, &source) {
            (Some(link), _) => vault::ReadFrom::Link(link),
            (None, Some(source)) => vault::ReadFrom::Vault(source, &absent_here),
            (None, None) => unreachable!("without a pass the source's vault was opened"),
        };
        let keys = data_key.as_ref().zip(fresh_key.as_ref());
        let job = vault::Reencrypt {
            from,
            origin: &body.content.volume,
            manifest: body.content.manifest,
            keys: keys.map(|(old, fresh)| vault::ReencryptKeys { old, fresh }),
            to: &target,
            volume: &reencryption.volume,
            condemned_there: &absent_there,
            base: base.as_ref(),
            checkpoint: reencryption.checkpoint,
            extent: match reencryption.extent {
                Extent::Frames => vault::Extent::Frames,
                Extent::Blocks => vault::Extent::Blocks,
            },
            throttle: throttle.as_ref(),
        };
        let record = |manifest| handle.block_on(record(&run, &body, manifest));
        let made = vault::reencrypt(job, &*run.progress, &record)?;
        if made.base_lost {
            tracing::warn!(job = %run.job.id, volume = %reencryption.volume, "the copy before cannot be used: everything was sealed anew");
        }
        Ok(Content {
            volume: reencryption.volume,
            manifest: made.manifest,
            wrapped_key: reencryption.wrapped_key,
            logical_bytes: made.logical_bytes,
            stored_bytes: made.stored_bytes,
        })
    })
    .await
    .map_err(|error| JobError::retry(format!("the copy ended early: {error}")))?
}

/// A data key of an encrypted snapshot.
async fn unwrap(
    run: &Run,
    user: &KeyUser,
    wrapped: Option<&WrappedKey>,
) -> Result<Option<DataKey>, KeyError> {
    match wrapped {
        Some(wrapped) => run.context.keys.unwrap(user, wrapped).await.map(Some),
        None => Ok(None),
    }
}

/// The earlier copy with its key. One whose key cannot be had costs reuse, not the copy.
async fn base(
    run: &Run,
    user: &KeyUser,
    reencryption: &Reencryption,
) -> Result<Option<vault::Base>, JobError> {
    let Some(base) = &reencryption.base else {
        return Ok(None);
    };
    match unwrap(run, user, base.wrapped_key.as_ref()).await {
        Ok(data_key) => Ok(Some(vault::Base {
            manifest: base.manifest,
            data_key,
        })),
        Err(error @ (KeyError::Catalog(_) | KeyError::Unavailable { .. })) => Err(error.into()),
        Err(error) => {
            tracing::warn!(job = %run.job.id, cause = %chain(&error), "the copy before does not open");
            Ok(None)
        }
    }
}

/// Notes in the job's row how far it is, and pins the manifest that says it.
async fn record(run: &Run, body: &Body, manifest: Hash) -> bool {
    let mut body = body.clone();
    let (Some(reencryption), Ok(of)) = (&mut body.reencryption, run.snapshot()) else {
        return false;
    };
    reencryption.checkpoint = Some(manifest);
    let mut pins = run.job.pins.clone();
    pins.push(Pin {
        region: of.region.clone(),
        volume: reencryption.volume.clone(),
        manifest: Some(manifest),
    });
    let step = jobs::Checkpoint {
        body: Some(serde_json::to_string(&body).expect("a job's document serializes")),
        pins: Some(pins),
        progress: None,
    };
    let written = run.checkpoint(step).await;
    if let Err(error) = &written {
        tracing::warn!(job = %run.job.id, cause = %chain(error), "how far a copy is was not recorded");
    }
    written.is_ok()
}

/// The way to the source region, which another deployment hosts.
pub(super) fn link<'a>(
    run: &'a Run,
    body: &'a Body,
    pass: &'a str,
) -> Result<HttpLink<'a>, JobError> {
    let (here, there) = (&run.snapshot()?.region, &body.source_region);
    let region = RemoteRegion::of(&run.context, here, there).ok_or_else(|| {
        let log = format!(
            "region {there} is not configured as another deployment's any more: \
             name it in the settings as [regions.{there}], and copy again"
        );
        JobError::Fail(Reason::new(
            Told::new("the source's region is not served from here any more"),
            log,
        ))
    })?;
    Ok(region.link(pass, &*run.progress))
}
