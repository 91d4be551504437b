//! Removes from the vault what of clusters' logs no moment needs any more.
//!
//! It does not know how logs are shipped.
use catalog::{CatalogError, CatalogExt, Tx, clusters as rows, pins, retained_backups};
use model::{Cluster, LogPlace, Region, ResourceId, Timestamp};
use vault::{ChunkEntry, Vault};

use super::bases::{self, Base};
use crate::{context::ServiceContext, jobs::JobError};

/// What a cluster's log is needed for.
struct Needs {
    cluster: Cluster,
    /// Whether the cluster is in this region: of what is brought here its own region forgets streams.
    is_own: bool,
    bases: Vec<Base>,
    /// A restore may be reading it.
    in_use: bool,
}

fn needs(tx: &mut dyn Tx, region: &Region, id: &ResourceId) -> Result<Option<Needs>, CatalogError> {
    let own = rows::get_by_resource_id(tx, id)?.map(|stored| stored.value);
    let own = own.filter(|cluster| cluster.region == *region);
    let is_own = own.is_some();
    let cluster = match own {
        Some(cluster) => Some(cluster),
        None => retained_backups::get(tx, region, id)?.map(|stored| stored.value.cluster),
    };
    let Some(cluster) = cluster else {
        return Ok(None);
    };
    Ok(Some(Needs {
        is_own,
        bases: bases::of_cluster(tx, &cluster)?,
        in_use: pins::of_volume(tx, &cluster.region, &cluster.volume)?.in_use,
        cluster,
    }))
}

/// Whether what a chunk holds lies behind a place.
fn reaches(chunk: &ChunkEntry, from: LogPlace) -> bool {
    chunk.start.timeline > from.timeline
        || (chunk.start.timeline == from.timeline && from.position < chunk.end)
}

/// Whether a chunk is needed: its stream is, and it reaches behind where the first base of it that is
/// needed begins. All of a stream without a base is.
fn is_needed(chunk: &ChunkEntry, needs: &Needs, now: Timestamp) -> bool {
    let days = needs.cluster.backup_retention_days;
    if !needs.cluster.logs.iter().any(|one| one.id == chunk.stream) {
        return false;
    }
    match bases::first_needed(&needs.bases, chunk.stream, days, now) {
        Some(base) => reaches(chunk, base.in_log.start),
        None => true,
    }
}

/// What of a cluster's log stays.
pub(super) struct Kept {
    /// All of it.
    pub(super) chunks: Vec<ChunkEntry>,
    /// Whether somebody may be reading it who listed it before `looked_at`.
    pub(super) in_use: bool,
    /// When it was asked who reads it.
    pub(super) looked_at: Timestamp,
}

/// Removes chunks of a cluster's log in a region's vault that no moment within its retention needs, and forgets
/// streams that have ended and have nothing to lead on from. None when the region knows of no such cluster.
///
/// # Errors
/// The catalog's and the vault's.
pub(super) async fn trim(
    context: &ServiceContext,
    vault: &Vault,
    (region, id): (&Region, &ResourceId),
) -> Result<Option<Kept>, JobError> {
    let (asked, now) = ((region.clone(), id.clone()), context.now());
    let read = move |tx: &mut dyn Tx| needs(tx, &asked.0, &asked.1);
    let known = context.catalog.read(read).await?;
    let Some(known) = known else {
        return Ok(None);
    };
    if known.is_own && !known.in_use {
        forget_ended(context, &known).await?;
    }
    let cluster = &known.cluster;
    let grace = context.settings.sweep_grace;
    let (mut chunks, mut removed) = (Vec::new(), 0);
    for chunk in vault::chunks(vault, &cluster.volume, id).await? {
        // What was just written may belong to a stream that the record read above does not have yet.
        let is_old = chunk.modified.plus(grace) < now;
        if is_old && !known.in_use && !is_needed(&chunk, &known, now) {
            vault::delete_chunk(vault, &chunk).await?;
            removed += 1;
        } else {
            chunks.push(chunk);
        }
    }
    if 0 < removed {
        tracing::info!(cluster = %cluster.name, removed, "chunks of the log are needed no longer");
    }
    Ok(Some(Kept {
        chunks,
        in_use: known.in_use,
        looked_at: now,
    }))
}

async fn forget_ended(context: &ServiceContext, known: &Needs) -> Result<(), CatalogError> {
    let is_over = |one: &model::LogStream| {
        one.ended_at.is_some() && !known.bases.iter().any(|base| base.in_log.stream == one.id)
    };
    let over: Vec<_> = known
        .cluster
        .logs
        .iter()
        .filter(|one| is_over(one))
        .collect();
    // The last one says that there was a gap, until another begins.
    let over: Vec<_> = over.into_iter().map(|one| one.id).collect();
    let newest = known.cluster.logs.last().map(|one| one.id);
    let over: Vec<_> = over.into_iter().filter(|id| Some(*id) != newest).collect();
    if over.is_empty() {
        return Ok(());
    }
    let id = known.cluster.resource_id.clone();
    context
        .catalog
        .write(move |tx| {
            if let Some(mut stored) = rows::get_by_resource_id(tx, &id)? {
                stored.value.logs.retain(|one| !over.contains(&one.id));
                rows::update(tx, stored)?;
            }
            Ok(())
        })
        .await
}

#[cfg(test)]
mod tests {
    use catalog::conformance::samples;
    use model::{Hash, InLog, LogStream};
    use uuid::Uuid;

    use super::*;

    fn place(timeline: u32, position: u64) -> LogPlace {
        LogPlace { timeline, position }
    }

    #[test]
    fn chunks_are_needed_from_the_first_base_on() {
        let stream = Uuid::from_u128(1);
        let mut cluster = samples::cluster("c");
        cluster.logs.push(LogStream {
            id: stream,
            wrapped_key: None,
            began: place(1, 0),
            began_at: Timestamp(0),
            ended_at: None,
            earliest: None,
            latest: None,
        });
        let base = Base {
            snapshot: samples::snapshot("s"),
            in_log: InLog {
                stream,
                start: place(2, 500),
                end: place(2, 600),
                at: Timestamp(9),
            },
        };
        let chunk = |stream, start, end| ChunkEntry {
            path: String::new(),
            stream,
            start,
            end,
            at: Timestamp(0),
            hash: Hash([0; 32]),
            size: 0,
            modified: Timestamp(0),
        };
        let mut needs = Needs {
            cluster,
            is_own: true,
            bases: vec![base],
            in_use: false,
        };
        let needed =
            |needs: &Needs, start, end| is_needed(&chunk(stream, start, end), needs, Timestamp(10));
        assert!(!needed(&needs, place(2, 400), 500));
        assert!(needed(&needs, place(2, 400), 501));
        assert!(needed(&needs, place(3, 100), 101));
        assert!(!needed(&needs, place(1, 400), 900), "of the writer before");
        let other = chunk(Uuid::from_u128(2), place(2, 600), 700);
        assert!(!is_needed(&other, &needs, Timestamp(10)), "of no stream");
        needs.bases.clear();
        assert!(needed(&needs, place(2, 400), 500), "its first base comes");
    }
}
