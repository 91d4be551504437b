//! Takes a snapshot of a cluster: dump into the vault, compared with the cluster's base.
use std::sync::Arc;

use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, jobs, snapshots, tombstones};
use engine::Home;
use model::{
    Cluster, Content, InLog, Job, LogPlace, LogStream, ResourceId, SnapshotName, SnapshotStatus,
    Told, WrappedKey,
    cluster::Base,
    job::{Named, Subject},
};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use uuid::Uuid;
use vault::{DataKey, Sealing, WriteOptions};

use super::{
    JobError,
    dump::{Dump, Dumped},
    failover,
    run::{JobType, Run, complete_snapshot, done, snapshot_of},
};
use crate::{
    clusters::{addresses, files},
    events::kinds,
    keys::{KeyUser, cluster_context},
    logs::bases,
    recovery_points, trace,
};

/// The job's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The snapshot, by the id that no later one of its name has.
    pub snapshot: Uuid,
    /// The cluster.
    pub cluster: ResourceId,
    /// The snapshot's data key; none when unencrypted.
    pub wrapped_key: Option<WrappedKey>,
}

/// The kind.
#[derive(Debug)]
pub struct CreateSnapshot;

impl JobType for CreateSnapshot {
    const NAME: &'static str = "create-snapshot";
    const WORKS_ON: &'static str = "snapshot";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        self::give_up(tx, job, reason)
    }

    fn show(tx: &mut dyn Tx, job: &Job, percent: u8) -> Result<(), CatalogError> {
        self::show(tx, job, percent)
    }
}

/// Writes into the record how much of a snapshot there is.
pub(super) fn show(tx: &mut dyn Tx, job: &Job, percent: u8) -> Result<(), CatalogError> {
    if let Subject::Snapshot(of) = &job.subject
        && let Some(mut stored) = snapshots::get(tx, &of.region, &of.account, &of.name)?
        && matches!(
            stored.value.status,
            SnapshotStatus::Creating | SnapshotStatus::Copying
        )
        && stored.value.percent_progress < percent
    {
        stored.value.percent_progress = percent;
        snapshots::update(tx, stored)?;
    }
    Ok(())
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let cluster = run.cluster(&body.cluster).await?;
    let Taken {
        content,
        base,
        left_out,
        in_log,
    } = take(run, &cluster, &body).await?;
    let (lease, moved) = (run.lease.clone(), run.progress.progress());
    let of = run.snapshot()?.clone();
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            complete_snapshot(tx, &of, &body.snapshot, &content, &left_out, in_log)?;
            if let Some(mut stored) = rows::get_by_resource_id(tx, &body.cluster)? {
                stored.value.base = Some(base.clone());
                rows::update(tx, stored)?;
            }
            done(tx, &lease, moved)?;
            Ok::<_, JobError>(())
        })
        .instrument(trace::stage("commit"))
        .await?;
    if let Some(InLog { stream, at, .. }) = in_log {
        run.context
            .log_windows
            .based(&cluster.resource_id, stream, at);
    }
    Ok(())
}

/// A snapshot that was taken.
pub(super) struct Taken {
    pub(super) content: Content,
    /// What the cluster's next snapshot is compared with.
    pub(super) base: Base,
    /// What lay among the database's files and is none of them.
    pub(super) left_out: Vec<String>,
    /// Where in the cluster's log it lies, if that is kept.
    pub(super) in_log: Option<InLog>,
}

/// Dumps the cluster into its region's vault, once the snapshots of it that were asked for before
/// are through: each needs a replication slot, and builds on the one before.
pub(super) async fn take(run: &Run, cluster: &Cluster, body: &Body) -> Result<Taken, JobError> {
    let context = &run.context;
    let turn = context.queues.of(&cluster.resource_id);
    let _turn = run.slot.waiting(turn).await;
    let place = run.placed(cluster).await?;
    let start = addresses::start(context, cluster, place);
    let place = run.slot.waiting(start).await?;
    let sources = sources(run, cluster, files::home(context, cluster, &place)).await?;
    let engine = Arc::clone(context.engine_of(cluster)?);
    let vault = context.vaults.get(&cluster.region)?;
    let user = KeyUser::rds(&cluster.account, &cluster.region);
    let data_key = match &body.wrapped_key {
        Some(wrapped) => Some(context.keys.unwrap(&user, wrapped).await?),
        None => None,
    };
    let base = base_of(run, cluster, &user).await?;
    let stream = open_stream(run, cluster).await?.map(|stream| stream.id);
    let absent = absent(run, cluster).await?;
    let options = WriteOptions {
        memory_bytes: context.settings.snapshot_memory_bytes,
        observer: run.progress.clone(),
    };
    let sealing = data_key.clone().map_or(Sealing::Open, Sealing::Sealed);
    let dump = Dump {
        engine,
        vault,
        volume: cluster.volume.clone(),
        sealing,
        base,
        absent,
        options,
        progress: run.progress.clone(),
        slot: run.slot.clone(),
    };
    let Dumped {
        written,
        left_out,
        in_log: places,
    } = tokio::task::spawn_blocking(move || dump.first_of(&sources))
        .instrument(trace::stage("dump"))
        .await
        .map_err(|error| JobError::retry(format!("the dump ended early: {error}")))??;
    let base_key = match (&cluster.kms_key, &data_key) {
        (Some(arn), Some(plain)) => {
            let bound = cluster_context(&cluster.account, &cluster.resource_id, &cluster.volume);
            Some(context.keys.wrap(&user, arn, plain, bound).await?)
        }
        _ => None,
    };
    let content = Content {
        volume: cluster.volume.clone(),
        manifest: written.manifest,
        wrapped_key: body.wrapped_key.clone(),
        logical_bytes: written.logical_bytes,
        stored_bytes: written.stored_bytes,
    };
    Ok(Taken {
        content,
        base: Base {
            manifest: written.manifest,
            wrapped_key: base_key,
            change: written.change,
        },
        left_out,
        in_log: in_log(run, cluster, stream, places).await?,
    })
}

/// The servers that a cluster can be read from, the first choice first. Of a Multi-AZ DB cluster that
/// is a reader, to spare the writer, as in RDS: always the same one while it is there, since the pages
/// of servers differ in what is in no log.
///
/// What is read from a reader begins at its last restartpoint, which may be long ago, and before the
/// log that is kept. So the first snapshot from which that log leads on is read from the writer.
async fn sources(run: &Run, cluster: &Cluster, writer: Home) -> Result<Vec<Home>, JobError> {
    let mut found = Vec::new();
    if cluster.is_multi_az() && !lacks_base(run, cluster).await? {
        let members = run.members(cluster).await?;
        let candidates = failover::candidates(&run.context, cluster, &members).await?;
        let first = candidates
            .ready
            .into_iter()
            .min_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        found.extend(first.map(|reader| files::home(&run.context, cluster, &reader.placement)));
    }
    found.push(writer);
    Ok(found)
}

/// Whether the cluster's log is kept, and leads on from no snapshot yet.
async fn lacks_base(run: &Run, cluster: &Cluster) -> Result<bool, JobError> {
    let now = run.cluster(&cluster.resource_id).await?;
    let stream = now.logs.last().filter(|stream| stream.ended_at.is_none());
    let Some(stream) = stream.map(|stream| stream.id) else {
        return Ok(false);
    };
    let read = move |tx: &mut dyn Tx| bases::of_cluster(tx, &now);
    let found = run.context.catalog.read(read).await?;
    Ok(found.iter().all(|base| base.in_log.stream != stream))
}

/// The stream of the cluster's log that goes on.
async fn open_stream(run: &Run, cluster: &Cluster) -> Result<Option<LogStream>, JobError> {
    let now = run.cluster(&cluster.resource_id).await?;
    let newest = now.logs.last().cloned();
    Ok(newest.filter(|stream| stream.ended_at.is_none()))
}

/// Where in the cluster's log a dump lies that was just taken, if the stream that went on before it does so still:
/// another one's places may be those of another log.
async fn in_log(
    run: &Run,
    cluster: &Cluster,
    before: Option<Uuid>,
    places: Option<(LogPlace, LogPlace)>,
) -> Result<Option<InLog>, JobError> {
    let at = run.context.now();
    let stream = open_stream(run, cluster).await?;
    let stream = stream.filter(|stream| Some(stream.id) == before);
    let (Some((start, end)), Some(stream)) = (places, stream) else {
        return Ok(None);
    };
    // A later timeline's file holds what lies before it.
    let has_begun =
        stream.began.position <= start.position && stream.began.timeline <= start.timeline;
    Ok(has_begun.then_some(InLog {
        stream: stream.id,
        start,
        end,
        at,
    }))
}

async fn base_of(
    run: &Run,
    cluster: &Cluster,
    user: &KeyUser,
) -> Result<Option<vault::Base>, JobError> {
    let Some(base) = &cluster.base else {
        return Ok(None);
    };
    let data_key: Option<DataKey> = match &base.wrapped_key {
        Some(wrapped) => Some(run.context.keys.unwrap(user, wrapped).await?),
        None => None,
    };
    Ok(Some(vault::Base {
        manifest: base.manifest,
        data_key,
    }))
}

/// Names in the volume that count as absent.
async fn absent(run: &Run, cluster: &Cluster) -> Result<vault::Condemned, JobError> {
    let (region, prefix) = (
        cluster.region.clone(),
        format!("volumes/{}/", cluster.volume),
    );
    Ok(run
        .context
        .catalog
        .read(move |tx| tombstones::list(tx, &region, &prefix))
        .await?)
}

/// Marks the job's snapshot as failed.
pub(super) fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    #[derive(Deserialize)]
    struct Which {
        snapshot: Uuid,
        // A copy has none.
        cluster: Option<ResourceId>,
    }
    match (&job.subject, super::run::body::<Which>(job)) {
        (Subject::Snapshot(of), Ok(which)) => {
            fail_snapshot(tx, of, &which.snapshot, reason)?;
            match which.cluster {
                Some(cluster) if of.name.is_automated() => try_again(tx, &cluster),
                _ => Ok(()),
            }
        }
        // Its runner has told that; no record says which it was.
        _ => Ok(()),
    }
}

/// Has another automated snapshot taken soon, after one that could not be.
fn try_again(tx: &mut dyn Tx, cluster: &ResourceId) -> Result<(), CatalogError> {
    if let Some(mut stored) = rows::get_by_resource_id(tx, cluster)? {
        stored.value.backups.failed(tx.now());
        rows::update(tx, stored)?;
    }
    Ok(())
}

pub(super) fn fail_snapshot(
    tx: &mut dyn Tx,
    of: &Named<SnapshotName>,
    uid: &Uuid,
    reason: &Told,
) -> Result<(), CatalogError> {
    let Some(mut stored) = snapshot_of(tx, of, uid)? else {
        return Ok(());
    };
    stored.value.status = SnapshotStatus::Failed;
    stored.value.failure = Some(reason.clone());
    recovery_points::settle(tx, &mut stored.value)?;
    let stored = snapshots::update(tx, stored)?;
    kinds::snapshot_is(tx, &stored.value)
}
