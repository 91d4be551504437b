//! Brings what a region's vault lacks of a log, as it lies: it is sealed under the stream's own key.
use std::collections::HashSet;

use model::{Cluster, Hash, LogPlace, Told};
use uuid::Uuid;
use vault::{Chain, ChainError, ChunkEntry, Vault};

use crate::{
    context::ServiceContext,
    jobs::{JobError, Reason},
};

/// Where a snapshot lies in the log: the stream, and where the log must begin that goes with it.
pub(super) type Start = (Uuid, LogPlace);

/// Brings the chunks that lead on from snapshots over there, or on their way; answers how many were brought, and
/// from which of the snapshots the log now leads to its end. In the log's order: what is there has no gap, whenever
/// this ends.
///
/// # Errors
/// The vaults'; that the log leads on from no snapshot of a stream.
pub(super) async fn bring(
    context: &ServiceContext,
    (from, to): (&Vault, &Vault),
    cluster: &Cluster,
    starts: &[Start],
) -> Result<(usize, Vec<Start>), JobError> {
    if starts.is_empty() {
        return Ok((0, Vec::new()));
    }
    let (volume, owner) = (&cluster.volume, &cluster.resource_id);
    let here = vault::chunks(from, volume, owner).await?;
    let mut there = vault::chunks(to, volume, owner).await?;
    let mut known: HashSet<Hash> = there.iter().map(|chunk| chunk.hash).collect();
    let throttle = context.vaults.throttle(&cluster.region);
    let (mut brought, mut leads) = (0, Vec::new());
    for of_stream in starts.chunk_by(|one, next| one.0 == next.0) {
        let stream = of_stream[0].0;
        let way = way(&here, &there, of_stream);
        for chunk in way.iter().flat_map(Chain::chunks) {
            if !known.insert(chunk.hash) {
                continue;
            }
            if context.is_stopping() {
                return Err(JobError::retry("the server is stopping"));
            }
            vault::bring_chunk(from, to, volume, chunk, throttle.as_deref()).await?;
            context.metrics.replicated_chunks.inc();
            there.push(chunk.clone());
            brought += 1;
        }
        let end = end(&here, stream);
        let found = of_stream
            .iter()
            .filter(|start| leads_to(&there, **start, end));
        let found: Vec<Start> = found.copied().collect();
        if found.is_empty() {
            let told = Told::new(
                "the log that is kept in the cluster's own region leads on from no snapshot there",
            );
            let log = format!("the stream {stream} leads on from none of {of_stream:?}");
            return Err(JobError::Fail(Reason::new(told, log)));
        }
        leads.extend(found);
    }
    Ok((brought, leads))
}

/// What is kept here from the first snapshot on, or from where the log over there ends that leads on from it: what
/// lies before may be needed no longer here. None when nothing leads on.
fn way(here: &[ChunkEntry], there: &[ChunkEntry], starts: &[Start]) -> Option<Chain> {
    starts.iter().find_map(|(stream, start)| {
        Chain::of(here, *stream, *start).ok().or_else(|| {
            let far = Chain::of(there, *stream, *start).ok()?;
            Chain::of(here, *stream, far.end()?).ok()
        })
    })
}

/// Where a stream ends.
fn end(here: &[ChunkEntry], stream: Uuid) -> Option<LogPlace> {
    let of_stream = here.iter().filter(|chunk| chunk.stream == stream);
    let ends = of_stream.map(|chunk| LogPlace {
        timeline: chunk.start.timeline,
        position: chunk.end,
    });
    ends.max()
}

/// Whether chunks lead on from a place to where the stream ends, or it ends there.
fn leads_to(there: &[ChunkEntry], (stream, start): Start, end: Option<LogPlace>) -> bool {
    let Some(end) = end.filter(|end| start < *end) else {
        // Nothing was written since.
        return true;
    };
    match Chain::of(there, stream, start) {
        Ok(chain) => chain.end().is_some_and(|at| end <= at),
        Err(ChainError::NoStart(_) | ChainError::Gap(..) | ChainError::Unlinked(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn place(position: u64) -> LogPlace {
        LogPlace {
            timeline: 1,
            position,
        }
    }

    fn chunks(ranges: &[(u64, u64)]) -> Vec<ChunkEntry> {
        let each = ranges.iter().map(|(start, end)| ChunkEntry {
            path: format!("{start}-{end}"),
            stream: Uuid::nil(),
            start: place(*start),
            end: *end,
            at: Timestamp(0),
            hash: Hash([0; 32]),
            size: 1,
            modified: Timestamp(0),
        });
        each.collect()
    }

    fn starts(positions: &[u64]) -> Vec<Start> {
        let each = positions.iter().map(|at| (Uuid::nil(), place(*at)));
        each.collect()
    }

    /// The stretches that are to be brought.
    fn found(here: &[(u64, u64)], there: &[(u64, u64)], from: &[u64]) -> Vec<String> {
        let way = way(&chunks(here), &chunks(there), &starts(from));
        let chunks = way.iter().flat_map(Chain::chunks);
        chunks.map(|chunk| chunk.path.clone()).collect()
    }

    #[test]
    fn a_log_leads_on_where_its_begin_is_needed_here_no_longer() {
        assert_eq!(found(&[(0, 9), (9, 20)], &[], &[3]), ["0-9", "9-20"]);
        assert_eq!(found(&[(9, 20)], &[], &[20]), [""; 0], "nothing since");
        // What lay before 9 was removed here, and is there.
        assert_eq!(
            found(&[(9, 20), (20, 30)], &[(0, 9), (9, 20)], &[3]),
            ["20-30"]
        );
        assert_eq!(found(&[(9, 20)], &[(0, 9)], &[3]), ["9-20"]);
        // And is not there: the next snapshot leads on.
        assert_eq!(found(&[(9, 20), (20, 30)], &[(0, 5)], &[3, 22]), ["20-30"]);
        assert_eq!(found(&[(9, 20)], &[(0, 5)], &[3]), [""; 0]);
    }

    #[test]
    fn a_snapshot_before_a_hole_leads_nowhere() {
        let leads = |there: &[(u64, u64)], from: u64, end: u64| {
            leads_to(&chunks(there), (Uuid::nil(), place(from)), Some(place(end)))
        };
        assert!(leads(&[(0, 9), (9, 20)], 3, 20));
        assert!(!leads(&[(0, 9)], 3, 20), "not all is there");
        assert!(!leads(&[(0, 5), (9, 20)], 3, 20), "a hole");
        assert!(leads(&[(0, 5), (9, 20)], 12, 20));
        assert!(leads(&[], 20, 20) && !leads(&[], 3, 20));
    }
}
