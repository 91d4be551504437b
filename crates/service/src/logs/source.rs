//! A cluster's log out of the vault, for a recovery to a point in time.
//!
//! It does not know which moment is asked for, but for which chunks lead there.
use std::pin::Pin;

use async_trait::async_trait;
use engine::{LogPiece, LogSource, ReplayTarget, SinkError};
use futures_util::{Stream, StreamExt, stream};
use model::{ErrorKind, Hash, LogPlace, ResourceId, Timestamp, Told, VolumeRef};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use vault::{Chain, Chunk, ChunkEntry, ChunkHead, DataKey, Vault, VaultError};

use crate::jobs::{JobError, Reason};

/// Chunks that are fetched ahead.
const AHEAD: usize = 4;

/// A point in the log of a cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PointInTime {
    /// Whose log it is.
    pub owner: ResourceId,
    /// The volume that it lies in.
    pub volume: VolumeRef,
    /// The stream.
    pub stream: Uuid,
    /// The stream's data key, wrapped for the cluster that is to be; none in an unencrypted volume.
    pub wrapped_key: Option<model::WrappedKey>,
    /// Where the base's own log begins.
    pub from: LogPlace,
    /// The moment; none: as late as there is log.
    pub until: Option<Timestamp>,
}

type Fetched = (ChunkEntry, Result<Chunk, VaultError>);

/// Chunks, one after another.
pub(crate) struct VaultLog {
    chunks: Pin<Box<dyn Stream<Item = Fetched> + Send>>,
    before: Option<(ChunkHead, Hash)>,
}

/// Finds the log that leads to a point.
///
/// # Errors
/// The vault's; `Fail` when the log has a gap.
pub(crate) async fn open(
    vault: &Vault,
    point: &PointInTime,
    key: Option<DataKey>,
) -> Result<(ReplayTarget, VaultLog), JobError> {
    let all = vault::chunks(vault, &point.volume, &point.owner).await?;
    let chain = Chain::of(&all, point.stream, point.from).map_err(|error| {
        let told = Told::new("the log that was kept has a gap before that point in time");
        JobError::Fail(Reason::new(told, error.to_string()))
    })?;
    let chain = match point.until {
        Some(until) => chain.until(until),
        None => chain,
    };
    let entries = chain.chunks().to_vec();
    let mut histories = Vec::new();
    for pair in entries.windows(2) {
        let [before, next] = pair else { continue };
        // One that begins with the log's first byte parted from no other.
        if before.start.timeline != next.start.timeline && next.start.position != 0 {
            let chunk = vault::read_chunk(vault, &point.volume, next, key.as_ref()).await?;
            histories.push((next.start.timeline, chunk.history));
        }
    }
    let last = entries.last();
    let target = ReplayTarget {
        from: point.from,
        until: point.until,
        timeline: last.map_or(point.from.timeline, |last| last.start.timeline),
        histories,
    };
    let (vault, volume) = (vault.clone(), point.volume.clone());
    let chunks = stream::iter(entries)
        .map(move |entry| {
            let (vault, volume, key) = (vault.clone(), volume.clone(), key.clone());
            async move {
                let read = vault::read_chunk(&vault, &volume, &entry, key.as_ref()).await;
                (entry, read)
            }
        })
        .buffered(AHEAD);
    let log = VaultLog {
        chunks: Box::pin(chunks),
        before: None,
    };
    Ok((target, log))
}

fn not_given(kind: ErrorKind, told: Told, source: engine::Cause) -> SinkError {
    SinkError { kind, told, source }
}

#[async_trait]
impl LogSource for VaultLog {
    async fn next(&mut self) -> Result<Option<LogPiece>, SinkError> {
        let Some((entry, read)) = self.chunks.next().await else {
            return Ok(None);
        };
        let chunk = read.map_err(|error| not_given(error.kind(), error.told(), error.into()))?;
        let before = self.before.as_ref().map(|(head, hash)| (head, *hash));
        Chain::check_link(before, (&chunk.head, entry.hash)).map_err(|error| {
            let told = Told::new("the log that was kept is damaged");
            not_given(ErrorKind::Repair, told, error.into())
        })?;
        self.before = Some((chunk.head, entry.hash));
        Ok(Some(LogPiece {
            start: chunk.head.start,
            bytes: chunk.log,
            history: chunk.history,
            is_last: false,
        }))
    }
}
