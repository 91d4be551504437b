//! The part of a copy's job that seals the snapshot anew: under the copy's own data key, in a
//! volume of its own, going on from what an earlier copy and an earlier try left there. It reads
//! the other region's vault, or by way of a link.
use catalog::{CatalogError, CatalogExt, jobs, tombstones};
use model::{Content, Hash, VolumeRef, WrappedKey, cluster::Base, job::Pin};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use vault::DataKey;

use super::{
    JobError, Run,
    copy_snapshot::{Body, link},
};
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
    /// The copy's own data key; none when it is not encrypted. (The source's is wrapped in the
    /// job's content.)
    pub wrapped_key: Option<WrappedKey>,
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
    let of = run.snapshot()?.clone();
    let user = KeyUser::rds(&of.account, &of.region);
    let data_key = unwrap(run, &user, body.content.wrapped_key.as_ref()).await?;
    let fresh_key = unwrap(run, &user, anew.wrapped_key.as_ref()).await?;
    let base = base(run, &user, anew).await?;
    let (from, to) = (body.source_region.clone(), of.region.clone());
    let prefix = |volume: &VolumeRef| format!("volumes/{volume}/");
    let (here, there) = (prefix(&body.content.volume), prefix(&anew.volume));
    let (absent_here, absent_there) = core
        .catalog
        .read(move |tx| {
            Ok::<_, CatalogError>((
                tombstones::list(tx, &from, &here)?,
                tombstones::list(tx, &to, &there)?,
            ))
        })
        .await?;
    let target = core.vaults.get(&of.region)?;
    let source = match &body.pass {
        Some(_) => None,
        None => Some(core.vaults.get(&body.source_region)?),
    };
    let throttle = core.vaults.throttle(&of.region);
    let (run, body, anew) = (run.clone(), body.clone(), anew.clone());
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
            volume: &anew.volume,
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
        let made = vault::reencrypt(job, &*run.meter, &record)?;
        if made.base_lost {
            tracing::warn!(job = %run.job.id, volume = %anew.volume, "the copy before cannot be used: everything was sealed anew");
        }
        Ok(Content {
            volume: anew.volume,
            manifest: made.manifest,
            wrapped_key: anew.wrapped_key,
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
        Some(wrapped) => run.core.keys.unwrap(user, wrapped).await.map(Some),
        None => Ok(None),
    }
}

/// The earlier copy with its key. One whose key cannot be had costs reuse, not the copy.
async fn base(run: &Run, user: &KeyUser, anew: &Anew) -> Result<Option<vault::Base>, JobError> {
    let Some(base) = &anew.base else {
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
    let (Some(anew), Ok(of)) = (&mut body.anew, run.snapshot()) else {
        return false;
    };
    anew.checkpoint = Some(manifest);
    let mut pins = run.job.pins.clone();
    pins.push(Pin {
        region: of.region.clone(),
        volume: anew.volume.clone(),
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
