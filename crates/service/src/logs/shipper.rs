//! One cluster's log into the vault, for as long as nothing fails: a stream is begun or gone on with,
//! and what the server writes becomes chunks.
//!
//! It does not know when it is begun again.
//!
//! Invariant: a stream has no gap. What the server no longer has ends it, in words, and another one
//! begins.
use std::{sync::Arc, time::Duration};

use catalog::{CatalogError, CatalogExt, clusters as rows};
use engine::{Engine, EngineError, Home, LogTail};
use model::{Cluster, Hash, Instance, LogPlace, LogStream, Timestamp, Told};
use uuid::Uuid;
use vault::{Chain, ChainError, Chunk, ChunkHead, Sealing, Vault};

use super::{
    bases,
    upkeep::{Pass, Upkeep},
};
use crate::{
    clusters::files,
    context::ServiceContext,
    events::kinds::{self, OfCluster},
    jobs::JobError,
    keys::{KeyUser, cluster_context},
};

/// How often the server is asked for more, where a chunk costs two waits for a disk.
const TICK: Duration = Duration::from_millis(800);
/// The same where it costs a request to a bucket.
const BUCKET_TICK: Duration = Duration::from_secs(4);
/// The log in a chunk, about, bytes.
const PIECE_BYTES: usize = 8 << 20;
/// How often a record tells how far its stream is, while it grows.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Streams of a cluster that its record keeps.
const STREAMS_MAX: usize = 16;

/// A stream that goes on.
pub(super) struct Shipper {
    context: Arc<ServiceContext>,
    cluster: Cluster,
    vault: Vault,
    stream: Uuid,
    sealing: Sealing,
    tail: Box<dyn LogTail>,
    /// All before it is in the vault.
    durable: LogPlace,
    /// The last chunk.
    previous: Option<Hash>,
    /// What was acknowledged until then lies before `durable`.
    at: Timestamp,
    told_at: Timestamp,
    /// Whether it has grown since.
    untold: bool,
    upkeep: Upkeep,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There is more.
    More,
    /// All there was is in the vault.
    Done,
    /// The server no longer has what comes next.
    Ended,
}

/// Why a stream cannot be gone on with.
enum Failed {
    /// It has a gap from here on.
    Gap(String),
    /// Another try may succeed.
    Other(JobError),
}

impl<E: Into<JobError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Ships a cluster's log until something fails, or its stream ends.
///
/// # Errors
/// The server's, the vault's, the catalog's: it is begun again then.
pub(super) async fn ship(
    context: Arc<ServiceContext>,
    cluster: Cluster,
    writer: Instance,
) -> Result<(), JobError> {
    let engine = Arc::clone(context.engine_of(&cluster)?);
    let home = files::home(&context, &cluster, &writer.placement);
    let Some(mut shipper) = Shipper::open(context, cluster, &*engine, &home).await? else {
        // The engine has no log that could be shipped.
        return std::future::pending().await;
    };
    let tick = match shipper.vault.is_bucket() {
        true => BUCKET_TICK,
        false => TICK,
    };
    loop {
        match shipper.step().await? {
            Step::More => {}
            Step::Done if shipper.tail.is_waited_for() => {}
            Step::Done => tokio::time::sleep(tick).await,
            Step::Ended => return Ok(()),
        }
    }
}

impl Shipper {
    /// Goes on with the cluster's stream, or begins one. None when its engine knows no log.
    async fn open(
        context: Arc<ServiceContext>,
        cluster: Cluster,
        engine: &dyn Engine,
        home: &Home,
    ) -> Result<Option<Self>, JobError> {
        let vault = context.vaults.owned(&cluster.region).await;
        let vault = vault.map_err(|error| JobError::retry(crate::fault::chain(&error)))?;
        let open = cluster.logs.last().filter(|one| one.ended_at.is_none());
        let begun = match open.cloned() {
            Some(stream) => {
                match Self::go_on(&context, &cluster, &vault, stream.clone(), engine, home).await {
                    Err(Failed::Gap(why)) => {
                        give_up(&context, &cluster, stream.id, &why).await?;
                        Self::begin(&context, &cluster, &vault, engine, home).await
                    }
                    other => other,
                }
            }
            None => Self::begin(&context, &cluster, &vault, engine, home).await,
        };
        match begun {
            Ok(shipper) => Ok(Some(shipper)),
            Err(Failed::Gap(_)) => Ok(None),
            Err(Failed::Other(error)) => Err(error),
        }
    }

    async fn begin(
        context: &Arc<ServiceContext>,
        cluster: &Cluster,
        vault: &Vault,
        engine: &dyn Engine,
        home: &Home,
    ) -> Result<Self, Failed> {
        let tail = match engine.tail(home, None).await {
            Err(error @ EngineError::NoLog { .. }) => return Err(Failed::Gap(error.to_string())),
            other => other?,
        };
        let user = KeyUser::rds(&cluster.account, &cluster.region);
        let key = match &cluster.kms_key {
            Some(arn) => {
                let bound =
                    cluster_context(&cluster.account, &cluster.resource_id, &cluster.volume);
                Some(context.keys.generate(&user, arn, bound).await?)
            }
            None => None,
        };
        let now = context.now();
        let stream = LogStream {
            id: context.entropy.uuid(),
            wrapped_key: key.as_ref().map(|(_, wrapped)| wrapped.clone()),
            began: tail.place(),
            began_at: now,
            ended_at: None,
            earliest: None,
            latest: None,
        };
        let (id, added) = (cluster.resource_id.clone(), stream.clone());
        let kept = context.catalog.write(move |tx| {
            let Some(mut stored) = rows::get_by_resource_id(tx, &id)? else {
                return Ok(None);
            };
            let logs = &mut stored.value.logs;
            logs.push(added.clone());
            let surplus = logs.len().saturating_sub(STREAMS_MAX);
            logs.drain(..surplus);
            // Nothing leads on from before it.
            stored.value.backups.at_once(tx.now());
            Ok::<_, CatalogError>(Some(rows::update(tx, stored)?.value))
        });
        let cluster = kept.await?.ok_or(JobError::Gone)?;
        context.backups.notify_one();
        context
            .log_windows
            .begin(&cluster.resource_id, stream.id, None);
        tracing::info!(cluster = %cluster.name, stream = %stream.id, place = ?stream.began, "the cluster's log goes to the vault from here on");
        Ok(Self {
            context: context.clone(),
            cluster,
            vault: vault.clone(),
            stream: stream.id,
            sealing: key.map_or(Sealing::Open, |(plain, _)| Sealing::Sealed(plain)),
            durable: stream.began,
            tail,
            previous: None,
            at: now,
            told_at: now,
            untold: false,
            upkeep: Upkeep::new(context, now, true),
        })
    }

    /// Goes on behind the last chunk that is there.
    async fn go_on(
        context: &Arc<ServiceContext>,
        cluster: &Cluster,
        vault: &Vault,
        stream: LogStream,
        engine: &dyn Engine,
        home: &Home,
    ) -> Result<Self, Failed> {
        let sealing = match &stream.wrapped_key {
            Some(wrapped) => {
                let user = KeyUser::rds(&cluster.account, &cluster.region);
                Sealing::Sealed(context.keys.unwrap(&user, wrapped).await?)
            }
            None => Sealing::Open,
        };
        let all = vault::chunks(vault, &cluster.volume, &cluster.resource_id).await?;
        let first = all.iter().find(|chunk| chunk.stream == stream.id);
        let last = match first {
            None => None,
            Some(first) => {
                let chain = Chain::of(&all, stream.id, first.start);
                chain
                    .map_err(|error: ChainError| Failed::Gap(error.to_string()))?
                    .last()
                    .cloned()
            }
        };
        let durable = last.as_ref().map_or(stream.began, |last| LogPlace {
            timeline: last.start.timeline,
            position: last.end,
        });
        // What is there can be restored also while the server cannot be asked.
        know(context, cluster, stream.id).await?;
        // One of them may have been written by a try whose end was not known.
        context.log_windows.may_have_written(&cluster.resource_id);
        if let Some(last) = &last {
            let id = &cluster.resource_id;
            context.log_windows.reach(id, stream.id, last.at);
        }
        let tail = match engine.tail(home, Some(durable)).await {
            Err(EngineError::LogGone { why }) => return Err(Failed::Gap(why)),
            other => other?,
        };
        let now = context.now();
        Ok(Self {
            context: context.clone(),
            cluster: cluster.clone(),
            vault: vault.clone(),
            stream: stream.id,
            sealing,
            tail,
            durable,
            previous: last.as_ref().map(|last| last.hash),
            at: last.map_or(stream.began_at, |last| last.at),
            told_at: now,
            untold: false,
            upkeep: Upkeep::new(context, now, false),
        })
    }

    /// Keeps what the server wrote since the last step.
    async fn step(&mut self) -> Result<Step, JobError> {
        let asked = self.context.now();
        let piece = match self.tail.next(self.durable, PIECE_BYTES).await {
            Err(EngineError::LogGone { why }) => {
                give_up(&self.context, &self.cluster, self.stream, &why).await?;
                return Ok(Step::Ended);
            }
            other => other?,
        };
        // A clock that was set back makes no moment earlier than what lies before it.
        let at = match piece.is_last {
            true => self.at.max(asked),
            false => self.at,
        };
        let (end, has_grown) = (piece.end(), !piece.bytes.is_empty());
        if has_grown {
            let chunk = Chunk {
                head: ChunkHead {
                    stream: self.stream,
                    start: piece.start,
                    end: end.position,
                    at,
                    previous: self.previous,
                    stands_for: None,
                },
                history: piece.history,
                log: piece.bytes,
            };
            let (volume, owner) = (&self.cluster.volume, &self.cluster.resource_id);
            let kept = vault::write_chunk(&self.vault, volume, owner, chunk, &self.sealing).await?;
            self.previous = Some(kept.hash);
            self.durable = end;
            self.context.metrics.log_chunks.inc();
            self.context.log_windows.wrote(owner);
        }
        self.at = at;
        if piece.is_last {
            let (id, stream) = (&self.cluster.resource_id, self.stream);
            self.context.log_windows.reach(id, stream, at);
        }
        self.keep_up(has_grown).await?;
        match piece.is_last {
            true => Ok(Step::Done),
            false => Ok(Step::More),
        }
    }

    /// What is to be done now and then.
    async fn keep_up(&mut self, has_grown: bool) -> Result<(), JobError> {
        let now = self.context.now();
        self.untold |= has_grown;
        if !now.is_within(TELL_EVERY, self.told_at) {
            self.told_at = now;
            know(&self.context, &self.cluster, self.stream).await?;
            if std::mem::take(&mut self.untold) {
                tell(&self.context, &self.cluster, self.stream).await?;
            }
        }
        let pass = || Pass {
            context: self.context.clone(),
            vault: self.vault.clone(),
            cluster: self.cluster.clone(),
            stream: self.stream,
            sealing: self.sealing.clone(),
        };
        self.upkeep.see_to(has_grown, pass, now);
        Ok(())
    }
}

/// Finds the earliest moment that a stream restores.
async fn know(
    context: &ServiceContext,
    cluster: &Cluster,
    stream: Uuid,
) -> Result<(), CatalogError> {
    let asked = cluster.clone();
    let read = move |tx: &mut dyn catalog::Tx| bases::of_cluster(tx, &asked);
    let bases = context.catalog.read(read).await?;
    let days = cluster.backup_retention_days;
    let first = bases::first_needed(&bases, stream, days, context.now());
    let earliest = first.map(|base| base.in_log.at);
    context
        .log_windows
        .begin(&cluster.resource_id, stream, earliest);
    Ok(())
}

/// Writes down how far a stream is, for nodes that do not ship it and for later.
async fn tell(
    context: &ServiceContext,
    cluster: &Cluster,
    stream: Uuid,
) -> Result<(), CatalogError> {
    let Some(window) = context.log_windows.of(cluster) else {
        return Ok(());
    };
    let id = cluster.resource_id.clone();
    context
        .catalog
        .write(move |tx| {
            let Some(mut stored) = rows::get_by_resource_id(tx, &id)? else {
                return Ok(());
            };
            let last = stored.value.logs.last_mut();
            if let Some(last) = last.filter(|last| last.id == stream) {
                last.earliest = Some(window.earliest);
                last.latest = Some(window.latest);
                rows::update(tx, stored)?;
            }
            Ok(())
        })
        .await
}

/// Ends a stream that the server no longer has the rest of, and tells the cluster's owner.
async fn give_up(
    context: &ServiceContext,
    cluster: &Cluster,
    stream: Uuid,
    why: &str,
) -> Result<(), JobError> {
    tracing::warn!(cluster = %cluster.name, %stream, why, "the cluster's log has a gap: points in time can be restored up to here, and from its next snapshot on");
    let window = context.log_windows.of(cluster);
    let (id, now) = (cluster.resource_id.clone(), context.now());
    let reason = Told::new(
        "its server no longer had what comes next; points in time after that can be restored once another snapshot is taken",
    );
    context
        .catalog
        .write(move |tx| {
            let Some(mut stored) = rows::get_by_resource_id(tx, &id)? else {
                return Ok(());
            };
            let mut logs = stored.value.logs.iter_mut();
            let Some(ended) = logs.find(|one| one.id == stream && one.ended_at.is_none()) else {
                return Ok(());
            };
            ended.ended_at = Some(now);
            if let Some(window) = window {
                (ended.earliest, ended.latest) = (Some(window.earliest), Some(window.latest));
            }
            let stored = rows::update(tx, stored)?;
            kinds::cluster(tx, &stored.value, OfCluster::LogGap(&reason))
        })
        .await?;
    context.log_windows.forget(&cluster.resource_id);
    context.metrics.log_gaps.inc();
    Ok(())
}
