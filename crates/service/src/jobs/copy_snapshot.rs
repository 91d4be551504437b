//! Ships a snapshot from another region: what the destination's vault does not hold yet, as it
//! lies, or sealed anew. What arrived stays, so a copy that was interrupted goes on where it was.
use catalog::{CatalogError, CatalogExt, Tx, jobs, tombstones};
use model::{Content, Job, Told};
use tracing::Instrument;

use super::{
    JobError,
    copy_document::Body,
    create_snapshot,
    reencrypt::{self, link},
    run::{JobType, Run, complete_snapshot, done, snapshot_of},
};
use crate::{
    link::{FetchRequest, Link, LocalLink},
    trace, verify,
};

/// What another deployment said of a snapshot must be so in its manifest too.
async fn agrees(wanted: &FetchRequest<'_>, content: &Content) -> Result<(), JobError> {
    let header = vault::read_header(
        wanted.to,
        wanted.volume,
        wanted.manifest,
        wanted.absent_there,
    )
    .await?;
    if header.sealed != content.wrapped_key.is_some() || header.total_bytes != content.stored_bytes
    {
        return Err(JobError::fail(
            "the source region described the snapshot otherwise than its manifest does",
        ));
    }
    Ok(())
}

/// The kind.
#[derive(Debug)]
pub struct CopySnapshot;

impl JobType for CopySnapshot {
    const NAME: &'static str = "copy-snapshot";
    const WORKS_ON: &'static str = "snapshot";
    const IS_NARROW: bool = true;
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        create_snapshot::give_up(tx, job, reason)
    }

    fn show(tx: &mut dyn Tx, job: &Job, percent: u8) -> Result<(), CatalogError> {
        create_snapshot::show(tx, job, percent)
    }
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let (of, uid) = (run.snapshot()?.clone(), body.snapshot);
    let wanted = run
        .context
        .catalog
        .read(move |tx| snapshot_of(tx, &of, &uid))
        .await?;
    if wanted.is_none() {
        return Err(JobError::Gone);
    }
    let content = match &body.reencryption {
        Some(reencryption) => {
            let resealed = reencrypt::run(run, &body, reencryption);
            resealed.instrument(trace::stage("reencrypt")).await?
        }
        None => {
            ship(run, &body).instrument(trace::stage("ship")).await?;
            body.content.clone()
        }
    };
    let (lease, moved) = (run.lease.clone(), run.progress.progress());
    let of = run.snapshot()?.clone();
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            complete_snapshot(tx, &of, &body.snapshot, &content, &[], None)?;
            done(tx, &lease, moved)?;
            Ok::<_, JobError>(())
        })
        .instrument(trace::stage("commit"))
        .await?;
    Ok(())
}

/// Brings the source's objects as they lie.
async fn ship(run: &Run, body: &Body) -> Result<(), JobError> {
    let content = &body.content;
    let here = &run.snapshot()?.region;
    let (from, to, prefix) = (
        body.source_region.clone(),
        here.clone(),
        format!("volumes/{}/", content.volume),
    );
    let (absent_here, absent_there) = run
        .context
        .catalog
        .read(move |tx| {
            Ok::<_, CatalogError>((
                tombstones::list(tx, &from, &prefix)?,
                tombstones::list(tx, &to, &prefix)?,
            ))
        })
        .await?;
    let throttle = run.context.vaults.throttle(here);
    let wanted = FetchRequest {
        to: &run.context.vaults.get(here)?,
        volume: &content.volume,
        manifest: content.manifest,
        absent_there: &absent_there,
        throttle: throttle.as_ref(),
    };
    match &body.pass {
        None => {
            let from = run.context.vaults.get(&body.source_region)?;
            let link = LocalLink::new(from, absent_here);
            if let Err(error) = link.fetch(wanted, &*run.progress).await {
                return Err(
                    verify::repair_snapshot(run, &body.source_region, content, error).await,
                );
            }
        }
        Some(pass) => {
            let link = link(run, body, pass)?;
            link.fetch(wanted, &*run.progress).await?;
            agrees(&wanted, content).await?;
        }
    }
    Ok(())
}
