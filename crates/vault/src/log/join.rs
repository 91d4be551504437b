//! Chunks that follow one another become one, so that a log costs few objects however small it was
//! streamed: which ones, and how.
//!
//! It does not know when, nor who still reads those that were joined.
//!
//! Invariant: a joined chunk is what the chunks around it take for those that it was made of, so they
//! may lie beside it, and go in any order or not at all.
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Hash, ResourceId, VolumeRef};

use crate::{
    error::VaultError,
    format::{
        chunk::{Chunk, ChunkHead},
        head::CHUNK_LOG_BYTES,
        seal::Sealing,
    },
    log::{
        chain::Chain,
        chunks::{ChunkEntry, check_chunk, read_chunk, write_chunk},
    },
    store::vault::Vault,
};

/// Chunks that become one, at most; fewer do when they fill one, or what is behind them is not joined.
pub const CHUNKS_JOINED: usize = 64;
/// What is shorter is joined with its like, bytes of log: each byte is written once more in each tier.
/// What is longer than the last one stays as it is: two such do not fit into one.
const TIERS: [u64; 3] = [4 << 10, 256 << 10, CHUNK_LOG_BYTES as u64 / 2];
/// Chunks that are read at once.
const READS: usize = 8;

/// The groups of a chain's chunks that are to become one each, each with the chunk behind it. The
/// last chunk is in none: what the next one names is not known.
pub fn joinable(chain: &Chain) -> Vec<(&[ChunkEntry], &ChunkEntry)> {
    let chunks = chain.chunks();
    let mut is_taken = vec![false; chunks.len()];
    if let Some(last) = is_taken.last_mut() {
        *last = true;
    }
    let mut found = Vec::new();
    for tier in TIERS {
        let mut from = 0;
        while from < chunks.len() {
            let run = chunks[from..].iter().zip(&is_taken[from..]);
            let run = run.take_while(|(chunk, is_taken)| {
                !**is_taken
                    && chunk.log_bytes() < tier
                    && chunk.start.timeline == chunks[from].start.timeline
            });
            let (count, is_full) = group(run.map(|(chunk, _)| chunk.log_bytes()));
            let until = from + count;
            // Nothing will be added any more before a chunk that is as long as one may be.
            let is_closed = tier == TIERS[2]
                && chunks.get(until).is_some_and(|next| {
                    tier <= next.log_bytes() || next.start.timeline != chunks[from].start.timeline
                });
            if 1 < count && (is_full || is_closed) {
                is_taken[from..until].fill(true);
                found.push(from..until);
            }
            from = until.max(from + 1);
        }
    }
    found.sort_by_key(|range| range.start);
    let with_next = |range: std::ops::Range<usize>| (&chunks[range.clone()], &chunks[range.end]);
    found.into_iter().map(with_next).collect()
}

/// How many of these fit into one chunk, and whether no more would.
fn group(lengths: impl Iterator<Item = u64>) -> (usize, bool) {
    let (mut count, mut bytes) = (0, 0);
    for length in lengths {
        bytes += length;
        if (CHUNK_LOG_BYTES as u64) < bytes {
            return (count, true);
        }
        count += 1;
        if count == CHUNKS_JOINED {
            return (count, true);
        }
    }
    (count, false)
}

/// Chunks of a chain's stream that no reader of the chain takes, since a longer one of it holds their
/// stretch; each with that one.
pub fn superseded<'a>(
    all: &'a [ChunkEntry],
    chain: &'a Chain,
) -> Vec<(&'a ChunkEntry, &'a ChunkEntry)> {
    let chunks = chain.chunks();
    let Some(first) = chunks.first() else {
        return Vec::new();
    };
    let holder = |chunk: &ChunkEntry| {
        let until = chunks.partition_point(|one| one.start <= chunk.start);
        let holder = &chunks[until.checked_sub(1)?];
        let holds = holder.start.timeline == chunk.start.timeline && chunk.end <= holder.end;
        (holds && chunk.log_bytes() < holder.log_bytes()).then_some(holder)
    };
    all.iter()
        .filter(|chunk| chunk.stream == first.stream)
        .filter_map(|chunk| Some((chunk, holder(chunk)?)))
        .collect()
}

/// Makes one chunk of some that follow one another; `next` is the one behind them. They stay.
///
/// # Errors
/// [`VaultError::Missing`], [`VaultError::Damaged`] also when one does not follow the one before it,
/// [`VaultError::WrongKey`], [`VaultError::Sealing`]; the store's.
pub async fn join(
    vault: &Vault,
    volume: &VolumeRef,
    owner: &ResourceId,
    (group, next): (&[ChunkEntry], &ChunkEntry),
    sealing: &Sealing,
) -> Result<ChunkEntry, VaultError> {
    let read = |entry: ChunkEntry| {
        let (vault, volume, key) = (vault.clone(), volume.clone(), sealing.data_key().cloned());
        async move {
            let chunk = read_chunk(&vault, &volume, &entry, key.as_ref()).await?;
            Ok::<_, VaultError>((entry, chunk))
        }
    };
    let mut chunks = stream::iter(group.to_vec()).map(read).buffered(READS);
    let (mut joined, mut before): (Option<Chunk>, Option<(ChunkHead, Hash)>) = (None, None);
    while let Some((entry, chunk)) = chunks.try_next().await? {
        follows(before.as_ref(), &entry, &chunk.head)?;
        before = Some((chunk.head, entry.hash));
        match &mut joined {
            Some(joined) if chunk.history.is_empty() => {
                joined.log.extend_from_slice(&chunk.log);
                joined.head.end = chunk.head.end;
                joined.head.at = joined.head.at.max(chunk.head.at);
            }
            Some(_) => {
                let why = "a timeline begins in the midst of another";
                return Err(VaultError::damaged(entry.object(), why));
            }
            None => joined = Some(chunk),
        }
    }
    let behind = check_chunk(vault, volume, next).await?;
    follows(before.as_ref(), next, &behind)?;
    let mut joined =
        joined.ok_or_else(|| VaultError::damaged(next.object(), "nothing is before it"))?;
    joined.head.stands_for = behind.previous;
    write_chunk(vault, volume, owner, joined, sealing).await
}

/// Checks that a chunk's stretch and its name for the one before it are what follows.
fn follows(
    before: Option<&(ChunkHead, Hash)>,
    entry: &ChunkEntry,
    head: &ChunkHead,
) -> Result<(), VaultError> {
    let link = before.map(|(head, hash)| (head, *hash));
    Chain::check_link(link, (head, entry.hash))
        .map_err(|_| VaultError::damaged(entry.object(), "it does not follow the one before it"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{LogPlace, Timestamp};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const FINAL: u64 = TIERS[2];

    fn entry(timeline: u32, position: u64, end: u64) -> ChunkEntry {
        ChunkEntry {
            path: format!("{timeline}-{position}-{end}"),
            stream: Uuid::nil(),
            start: LogPlace { timeline, position },
            end,
            at: Timestamp(0),
            hash: Hash([0; 32]),
            size: 1,
            modified: Timestamp(0),
        }
    }

    fn of_lengths(lengths: &[u64]) -> Vec<ChunkEntry> {
        let mut at = 0;
        let each = lengths.iter().map(|length| {
            at += length;
            entry(1, at - length, at)
        });
        each.collect()
    }

    fn chain(all: &[ChunkEntry]) -> Chain {
        Chain::of(all, Uuid::nil(), all[0].start).expect("it is whole")
    }

    fn groups(lengths: &[u64]) -> Vec<usize> {
        let chain = chain(&of_lengths(lengths));
        joinable(&chain)
            .iter()
            .map(|(group, _)| group.len())
            .collect()
    }

    #[test]
    fn like_is_joined_with_like_once_there_is_enough() {
        assert_eq!(groups(&[100; 64]), [0; 0], "nothing names the last one yet");
        assert_eq!(groups(&[100; 65]), [64]);
        assert_eq!(groups(&[100; 129]), [64, 64]);
        // What was joined waits for its like.
        let mixed: Vec<u64> = [vec![6_400; 10], vec![100; 65]].concat();
        assert_eq!(groups(&mixed), [64]);
        let mixed = [6_400, 100].repeat(33);
        assert_eq!(groups(&mixed), [64], "in each other's midst they are alike");
        // As many as fit.
        assert_eq!(groups(&[3 << 20; 7]), [5]);
        // What is long stays, and nothing waits before it.
        assert_eq!(groups(&[FINAL; 100]), [0; 0]);
        assert_eq!(groups(&[100, 100, FINAL, 100]), [2]);
        assert_eq!(groups(&[100, FINAL, 100, FINAL, 9]), [0; 0]);
    }

    #[test]
    fn timelines_are_not_joined() {
        let all = [
            entry(1, 0, 9),
            entry(1, 9, 20),
            entry(2, 16, 30),
            entry(2, 30, 40),
            entry(2, 40, 50),
        ];
        let chain = chain(&all);
        let found = joinable(&chain);
        let (group, next) = found.first().expect("the one that has ended");
        assert_eq!((group.len(), found.len()), (2, 1));
        assert_eq!(next.start.timeline, 2);
    }

    #[test]
    fn only_what_a_longer_one_of_the_chain_holds_is_superseded() {
        let all = [
            entry(1, 0, 10),
            entry(1, 0, 12),
            entry(1, 0, 20),
            entry(1, 10, 20),
            entry(1, 20, 30),
            entry(1, 20, 31),
            entry(1, 30, 40),
            entry(2, 5, 9),
        ];
        let chain = chain(&all[..7]);
        let found: Vec<&str> = superseded(&all, &chain)
            .iter()
            .map(|(chunk, _)| &*chunk.path)
            .collect();
        assert_eq!(found, ["1-0-10", "1-0-12", "1-10-20"]);
        // Of two of one length the next chunk tells which it follows: both stay.
        let twin = ChunkEntry {
            path: "twin".to_owned(),
            ..entry(1, 0, 20)
        };
        let all = [entry(1, 0, 20), twin, entry(1, 20, 30)];
        assert_eq!(superseded(&all, &self::chain(&all)), []);
    }

    proptest! {
        /// However a log was streamed, it is one chain at any moment of its joining, and few chunks.
        #[test]
        fn any_stream_becomes_few_chunks(
            lengths in proptest::collection::vec(
                prop_oneof![6 => 50_u64..2_000, 2 => 2_000_u64..1_000_000, 1 => 1_000_000_u64..=CHUNK_LOG_BYTES as u64],
                1..600,
            ),
        ) {
            let mut all: BTreeMap<u64, ChunkEntry> = BTreeMap::new();
            let (mut written, streamed) = (0, of_lengths(&lengths));
            for chunk in &streamed {
                all.insert(chunk.start.position, chunk.clone());
                let now = chain(&all.values().cloned().collect::<Vec<_>>());
                for (group, next) in joinable(&now) {
                    let (first, last) = (&group[0], &group[group.len() - 1]);
                    prop_assert_eq!(last.end, next.start.position);
                    let joined = entry(1, first.start.position, last.end);
                    prop_assert!(joined.log_bytes() <= CHUNK_LOG_BYTES as u64);
                    written += joined.log_bytes();
                    let mut beside: Vec<ChunkEntry> = all.values().cloned().collect();
                    beside.push(joined.clone());
                    let both = chain(&beside);
                    prop_assert!(both.chunks().contains(&joined));
                    prop_assert_eq!(superseded(&beside, &both).len(), group.len());
                    all.retain(|at, _| !(first.start.position..last.end).contains(at));
                    all.insert(joined.start.position, joined);
                }
            }
            let bytes: u64 = lengths.iter().sum();
            let most = 3 * CHUNKS_JOINED as u64 + 1 + 3 * (bytes / FINAL);
            prop_assert!(all.len() as u64 <= most, "{} of {}", all.len(), lengths.len());
            prop_assert!(written <= 4 * bytes, "{written} of {bytes}");
        }
    }
}
