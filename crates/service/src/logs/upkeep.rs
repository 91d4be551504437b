//! What is done beside a log that goes on: what no moment needs goes, and many small chunks become
//! few.
//!
//! It does not know how logs are shipped, and holds nothing up: a pass that fails is made again.
use std::{sync::Arc, time::Duration};

use model::{Cluster, LogPlace, Timestamp};
use tokio::task::JoinSet;
use uuid::Uuid;
use vault::{CHUNKS_JOINED, Chain, ChunkEntry, Sealing, Vault, VaultError};

use super::trim;
use crate::{context::ServiceContext, fault::chain, jobs::JobError};

/// How often it is looked what of a log is needed no longer.
const PASS_EVERY: Duration = Duration::from_secs(600);
/// How soon after one pass the next may come, when enough was written.
const PASS_REST: Duration = Duration::from_secs(5);
/// How long chunks stay that were joined, at most: whoever listed them just before reads them still.
const JOINED_GRACE: Duration = Duration::from_secs(60);

/// The passes over one stream.
pub(super) struct Upkeep {
    /// The one that is under way; it says whether it left what goes after its grace. It ends with this.
    under_way: JoinSet<bool>,
    begun_at: Timestamp,
    /// How long chunks stay that were joined.
    grace: Duration,
    /// Chunks that were written since.
    written: usize,
    has_left: bool,
}

/// What a pass is over.
pub(super) struct Pass {
    pub(super) context: Arc<ServiceContext>,
    pub(super) vault: Vault,
    pub(super) cluster: Cluster,
    pub(super) stream: Uuid,
    pub(super) sealing: Sealing,
}

impl Upkeep {
    /// The first pass is due at once where there is something already.
    pub(super) fn new(context: &ServiceContext, now: Timestamp, is_new: bool) -> Self {
        Self {
            grace: grace(context),
            under_way: JoinSet::new(),
            begun_at: match is_new {
                true => now,
                false => now.minus(PASS_EVERY),
            },
            written: 0,
            has_left: false,
        }
    }

    /// Begins a pass when one is due.
    pub(super) fn see_to(&mut self, has_grown: bool, pass: impl FnOnce() -> Pass, now: Timestamp) {
        self.written += usize::from(has_grown);
        match self.under_way.try_join_next() {
            Some(passed) => self.has_left |= passed.unwrap_or(true),
            None if !self.under_way.is_empty() => return,
            None => {}
        }
        let wait = match (CHUNKS_JOINED <= self.written, self.has_left) {
            (true, _) => PASS_REST,
            (_, true) => self.grace.max(PASS_REST),
            _ => PASS_EVERY,
        };
        if now.is_within(wait, self.begun_at) {
            return;
        }
        (self.begun_at, self.written, self.has_left) = (now, 0, false);
        self.under_way.spawn(run(pass()));
    }
}

fn grace(context: &ServiceContext) -> Duration {
    JOINED_GRACE.min(context.settings.sweep_grace)
}

async fn run(pass: Pass) -> bool {
    tidy(&pass).await.unwrap_or_else(|error| {
        tracing::warn!(cluster = %pass.cluster.name, cause = %error, "the log in the vault is not tidied");
        true
    })
}

/// Whether something is left that goes after its grace.
async fn tidy(pass: &Pass) -> Result<bool, JobError> {
    let Pass {
        context,
        vault,
        cluster,
        ..
    } = pass;
    let of = (&cluster.region, &cluster.resource_id);
    let Some(kept) = trim::trim(context, vault, of).await? else {
        return Ok(false);
    };
    let first = kept.chunks.iter().find(|chunk| chunk.stream == pass.stream);
    let Some(first) = first else {
        return Ok(false);
    };
    let way = match Chain::of(&kept.chunks, pass.stream, first.start) {
        Ok(way) => way,
        Err(error) => {
            tracing::warn!(cluster = %cluster.name, cause = %error, "the log in the vault is not joined");
            return Ok(false);
        }
    };
    let left = remove_joined(context, vault, cluster, &kept, &way).await?;
    let joined = join(pass, &way).await?;
    Ok(0 < left + joined)
}

/// The same of a log that was brought from another region: there it is joined, here what was joined goes.
///
/// # Errors
/// The catalog's and the vault's.
pub(crate) async fn tidy_brought(
    context: &ServiceContext,
    vault: &Vault,
    cluster: &Cluster,
) -> Result<(), JobError> {
    let of = (&cluster.region, &cluster.resource_id);
    let Some(kept) = trim::trim(context, vault, of).await? else {
        return Ok(());
    };
    for stream in &cluster.logs {
        let first = kept.chunks.iter().find(|chunk| chunk.stream == stream.id);
        let Some(first) = first else { continue };
        if let Ok(way) = Chain::of(&kept.chunks, stream.id, first.start) {
            remove_joined(context, vault, cluster, &kept, &way).await?;
        }
    }
    Ok(())
}

/// Removes what lies in a longer chunk, once everyone who begins to read takes that one; answers how
/// many stay for now.
async fn remove_joined(
    context: &ServiceContext,
    vault: &Vault,
    cluster: &Cluster,
    kept: &trim::Kept,
    way: &Chain,
) -> Result<usize, JobError> {
    let grace = grace(context);
    let (mut removed, mut left) = (0, 0);
    // A holder is read before the first of those goes that it stands for.
    let mut whole: Option<(LogPlace, bool)> = None;
    for (chunk, holder) in vault::superseded(&kept.chunks, way) {
        if kept.in_use || kept.looked_at < holder.modified.plus(grace) {
            left += 1;
            continue;
        }
        let is_whole = match whole {
            Some((start, is_whole)) if start == holder.start => is_whole,
            _ => is_whole(vault, cluster, holder).await?,
        };
        whole = Some((holder.start, is_whole));
        if is_whole {
            vault::delete_chunk(vault, chunk).await?;
            removed += 1;
        }
    }
    if 0 < removed {
        tracing::debug!(cluster = %cluster.name, removed, "chunks of the log were joined into longer ones");
    }
    Ok(left)
}

async fn is_whole(
    vault: &Vault,
    cluster: &Cluster,
    holder: &ChunkEntry,
) -> Result<bool, VaultError> {
    match vault::check_chunk(vault, &cluster.volume, holder).await {
        Ok(_) => Ok(true),
        Err(error @ (VaultError::Missing { .. } | VaultError::Damaged { .. })) => {
            tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "a joined chunk is damaged: what it was made of stays");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Joins what is to be; answers how many chunks were made.
async fn join(pass: &Pass, way: &Chain) -> Result<usize, JobError> {
    let (volume, owner) = (&pass.cluster.volume, &pass.cluster.resource_id);
    let mut made = 0;
    for group in vault::joinable(way) {
        match vault::join(&pass.vault, volume, owner, group, &pass.sealing).await {
            Ok(_) => {
                made += 1;
                pass.context.metrics.log_joins.inc();
            }
            // `vault verify` names it too. The others are joined.
            Err(error @ (VaultError::Missing { .. } | VaultError::Damaged { .. })) => {
                tracing::warn!(cluster = %pass.cluster.name, cause = %chain(&error), "chunks of the log are not joined");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(made)
}
