//! Takes a snapshot of a cluster: dump into the vault, compared with the cluster's base.
use std::sync::Arc;

use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, jobs, snapshots, tombstones};
use engine::{DumpSink, Engine, EngineError, Home, SinkError};
use model::{
    Cluster, Content, ErrorKind, Job, ResourceId, SnapshotName, SnapshotStatus, Told, VolumeRef,
    WrappedKey,
    cluster::Base,
    job::{Named, Subject},
    pages,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::{DataKey, Observer, Sealing, SnapshotWriter, Vault, VaultError, WriteOptions, Written};

use super::{
    JobError, failover,
    run::{JobType, Run, complete_snapshot, done, snapshot_of},
};
use crate::{
    clusters::{addresses, files},
    events::kinds,
    fault::chain,
    jobs::{progress::JobProgress, slots::JobSlot},
    keys::{KeyUser, cluster_context},
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
    } = take(run, &cluster, &body).await?;
    let (lease, moved) = (run.lease.clone(), run.progress.progress());
    let of = run.snapshot()?.clone();
    run.context
        .catalog
        .write(move |tx| {
            jobs::guard(tx, &lease)?;
            complete_snapshot(tx, &of, &body.snapshot, &content, &left_out)?;
            if let Some(mut stored) = rows::get_by_resource_id(tx, &body.cluster)? {
                stored.value.base = Some(base.clone());
                rows::update(tx, stored)?;
            }
            done(tx, &lease, moved)?;
            Ok::<_, JobError>(())
        })
        .await?;
    Ok(())
}

/// A snapshot that was taken.
pub(super) struct Taken {
    pub(super) content: Content,
    /// What the cluster's next snapshot is compared with.
    pub(super) base: Base,
    /// What lay among the database's files and is none of them.
    pub(super) left_out: Vec<String>,
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
    let (written, left_out) = tokio::task::spawn_blocking(move || dump.first_of(&sources))
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
        },
        left_out,
    })
}

/// The servers that a cluster can be read from, the first choice first. Of a Multi-AZ DB cluster that
/// is a reader, to spare the writer, as in RDS: always the same one while it is there, since the pages
/// of servers differ in what is in no log.
async fn sources(run: &Run, cluster: &Cluster, writer: Home) -> Result<Vec<Home>, JobError> {
    let mut found = Vec::new();
    if cluster.is_multi_az() {
        let members = run.members(cluster).await?;
        let ready = failover::candidates(&run.context, cluster, &members).await?;
        let first = ready
            .into_iter()
            .map(|(reader, _)| reader)
            .min_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        found.extend(first.map(|reader| files::home(&run.context, cluster, &reader.placement)));
    }
    found.push(writer);
    Ok(found)
}

/// All that a dump needs beside the server that it reads.
struct Dump {
    engine: Arc<dyn Engine>,
    vault: Vault,
    volume: VolumeRef,
    sealing: Sealing,
    base: Option<vault::Base>,
    absent: vault::Condemned,
    options: WriteOptions,
    progress: Arc<JobProgress>,
    slot: Arc<JobSlot>,
}

impl Dump {
    /// Reads the first of the servers that gives a dump.
    fn first_of(&self, sources: &[Home]) -> Result<(Written, Vec<String>), JobError> {
        let Some((last, others)) = sources.split_last() else {
            return Err(JobError::fail("the cluster has no server"));
        };
        for home in others {
            tracing::info!(home = %home.dir.display(), "the snapshot is read from a reader");
            match self.of(home) {
                Err(DumpError::Engine(error)) if may_be_anothers(&error) => {
                    tracing::warn!(home = %home.dir.display(), cause = %chain(&error), "no snapshot is read from the reader, so it is from the writer");
                }
                done => return Ok(done?),
            }
        }
        Ok(self.of(last)?)
    }

    fn of(&self, home: &Home) -> Result<(Written, Vec<String>), DumpError> {
        let writer = begin(
            &self.vault,
            &self.volume,
            &self.sealing,
            self.base.clone(),
            &self.absent,
            &self.options,
        )?;
        let mut sink = VaultSink {
            writer,
            progress: Arc::clone(&self.progress),
            slot: Arc::clone(&self.slot),
        };
        let info = self.engine.dump(home, &mut sink)?;
        Ok((sink.writer.finish(info.document)?, info.left_out))
    }
}

/// Why a dump failed: at the server that was read, or at the vault.
#[derive(Debug, thiserror::Error)]
enum DumpError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<DumpError> for JobError {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Engine(error) => error.into(),
            DumpError::Vault(error) => error.into(),
        }
    }
}

/// Whether a dump that failed so may succeed at another server of the cluster.
fn may_be_anothers(error: &EngineError) -> bool {
    !matches!(error, EngineError::Sink { .. } | EngineError::StopRequested)
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

/// A base that is gone or damaged costs reuse, not the snapshot.
fn begin(
    vault: &Vault,
    volume: &VolumeRef,
    sealing: &Sealing,
    base: Option<vault::Base>,
    absent: &vault::Condemned,
    options: &WriteOptions,
) -> Result<SnapshotWriter, VaultError> {
    let lost = base.is_some();
    match SnapshotWriter::begin(
        vault,
        volume,
        sealing.clone(),
        base,
        absent,
        options.clone(),
    ) {
        Err(error) if lost && error.kind() == ErrorKind::Repair => {
            tracing::warn!(%volume, %error, "the base cannot be read: the snapshot is a full one");
            SnapshotWriter::begin(
                vault,
                volume,
                sealing.clone(),
                None,
                absent,
                options.clone(),
            )
        }
        other => other,
    }
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

/// Hands an engine's files to the vault.
struct VaultSink {
    writer: SnapshotWriter,
    progress: Arc<JobProgress>,
    slot: Arc<JobSlot>,
}

impl DumpSink for VaultSink {
    fn expect_total(&mut self, bytes: u64) {
        self.progress.total(bytes);
    }

    fn directory(&mut self, path: &str, mode: u32) -> Result<(), SinkError> {
        self.writer.directory(path, mode).map_err(not_taken)
    }

    fn file(
        &mut self,
        path: &str,
        mode: u32,
        content: Arc<dyn pages::Content>,
    ) -> Result<(), SinkError> {
        self.writer.file(path, mode, content).map_err(not_taken)
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        self.writer.settle().map_err(not_taken)
    }

    fn leave_out(&mut self, path: &str) -> Result<(), SinkError> {
        self.writer.leave_out(path).map_err(not_taken)
    }

    fn waits(&self, waiting: bool) {
        match waiting {
            true => self.slot.put_down(),
            false => self
                .slot
                .take_up_blocking(|| self.progress.stop_requested()),
        }
    }

    fn stop_requested(&self) -> bool {
        self.progress.stop_requested()
    }
}

/// What the vault said decides what becomes of the dump.
fn not_taken(error: VaultError) -> SinkError {
    SinkError {
        kind: error.kind(),
        told: error.told(),
        source: error.into(),
    }
}

/// Marks the job's snapshot as failed.
pub(super) fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
    #[derive(Deserialize)]
    struct Which {
        snapshot: Uuid,
        cluster: ResourceId,
    }
    match (&job.subject, super::run::body::<Which>(job)) {
        (Subject::Snapshot(of), Ok(which)) => {
            fail_snapshot(tx, of, &which.snapshot, reason)?;
            match of.name.is_automated() {
                true => try_again(tx, &which.cluster),
                false => Ok(()),
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
    let stored = snapshots::update(tx, stored)?;
    kinds::snapshot_is(tx, &stored.value)
}
