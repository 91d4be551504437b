//! The part of a copy's job that seals the snapshot anew: under the copy's own data key, in a
//! volume of its own, going on from what an earlier copy and an earlier try left there.
use catalog::{CatalogError, CatalogExt, condemned, jobs};
use model::{Content, Hash, VolumeRef, WrappedKey, cluster::Base, job::Pin};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{JobError, Run, copy_snapshot::Body};
use crate::{
    fault::chain,
    keys::{KeyError, KeyUser},
};

/// What comes along with live blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// The frames they lie in.
    Frames,
    /// Nothing, since the target's account never had the rest.
    Blocks,
}

/// How a copy is sealed anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Anew {
    /// The volume that the copy will be in.
    pub volume: VolumeRef,
    /// The copy's own data key. (The source's is wrapped in the job's content.)
    pub wrapped_key: WrappedKey,
    /// What comes along.
    pub extent: Extent,
    /// An earlier copy in that volume.
    pub base: Option<Base>,
    /// The manifest that says how far the tries before came.
    pub checkpoint: Option<Hash>,
}

/// Makes the copy, and answers its content.
pub(super) async fn run(run: &Run, body: &Body, anew: &Anew) -> Result<Content, JobError> {
    let core = &run.core;
    let user = KeyUser::rds(&run.job.account, &run.job.region);
    let source_key = body.content.wrapped_key.as_ref();
    let source_key = source_key
        .ok_or_else(|| JobError::Fail("the source's data key is not in the job".to_owned()))?;
    let data_key = core.keys.unwrap(&user, source_key).await?;
    let fresh_key = core.keys.unwrap(&user, &anew.wrapped_key).await?;
    let base = base(run, &user, anew).await?;
    let (from, to) = (body.source_region.clone(), run.job.region.clone());
    let prefix = |volume: &VolumeRef| format!("volumes/{volume}/");
    let (here, there) = (prefix(&body.content.volume), prefix(&anew.volume));
    let (absent_here, absent_there) = core
        .catalog
        .read(move |tx| {
            Ok::<_, CatalogError>((
                condemned::list(tx, &from, &here)?,
                condemned::list(tx, &to, &there)?,
            ))
        })
        .await?;
    let (source, target) = (
        core.vault(&body.source_region)?,
        core.vault(&run.job.region)?,
    );
    let throttle = core.throttle(&run.job.region);
    let (run, body, anew) = (run.clone(), body.clone(), anew.clone());
    tokio::task::spawn_blocking(move || {
        let handle = Handle::current();
        let job = vault::Reseal {
            from: &source,
            origin: &body.content.volume,
            manifest: body.content.manifest,
            data_key: &data_key,
            condemned_here: &absent_here,
            to: &target,
            volume: &anew.volume,
            fresh_key: &fresh_key,
            condemned_there: &absent_there,
            base: base.as_ref(),
            checkpoint: anew.checkpoint,
            extent: match anew.extent {
                Extent::Frames => vault::Extent::Frames,
                Extent::Blocks => vault::Extent::Blocks,
            },
            throttle: throttle.as_ref(),
        };
        let record = |manifest| handle.block_on(record(&run, &body, manifest));
        let made = vault::reseal(job, &*run.meter, &record)?;
        if made.base_lost {
            tracing::warn!(job = %run.job.id, volume = %anew.volume, "the copy before cannot be used: everything was sealed anew");
        }
        Ok(Content {
            volume: anew.volume,
            manifest: made.manifest,
            wrapped_key: Some(anew.wrapped_key),
            logical_bytes: made.logical_bytes,
            stored_bytes: made.stored_bytes,
        })
    })
    .await
    .map_err(|error| JobError::Retry(format!("the copy ended early: {error}")))?
}

/// The earlier copy with its key. One whose key cannot be had costs reuse, not the copy.
async fn base(run: &Run, user: &KeyUser, anew: &Anew) -> Result<Option<vault::Base>, JobError> {
    let Some(base) = &anew.base else {
        return Ok(None);
    };
    let Some(wrapped) = &base.wrapped_key else {
        return Ok(None);
    };
    match run.core.keys.unwrap(user, wrapped).await {
        Ok(key) => Ok(Some(vault::Base {
            manifest: base.manifest,
            data_key: Some(key),
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
    let Some(anew) = &mut body.anew else {
        return false;
    };
    anew.checkpoint = Some(manifest);
    let mut pins = run.job.pins.clone();
    pins.push(Pin {
        region: run.job.region.clone(),
        volume: anew.volume.clone(),
        manifest: Some(manifest),
    });
    let step = jobs::Checkpoint {
        body: Some(serde_json::to_string(&body).expect("a job's document serializes")),
        pins: Some(pins),
        progress: Some(run.meter.progress()),
    };
    let lease = run.lease.clone();
    let written = run
        .core
        .catalog
        .write(move |tx| jobs::checkpoint(tx, &lease, &step))
        .await;
    if let Err(error) = &written {
        tracing::warn!(job = %run.job.id, cause = %chain(error), "how far a copy is was not recorded");
    }
    written.is_ok()
}
