//! Which chunks of a stream follow one another from a place on, by their names.
//!
//! It does not know what is in them; whoever reads them checks that each names the one before it.
use std::{collections::BTreeMap, ops::Range};

use model::{Hash, LogPlace, Timestamp};
use uuid::Uuid;

use crate::{format::chunk::ChunkHead, log::chunks::ChunkEntry};

/// Chunks that follow one another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    chunks: Vec<ChunkEntry>,
}

/// Why there is no chain from a place on, or it ends sooner than it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No chunk has the place.
    #[error("no chunk of the log has the position {:#x} of timeline {}", .0.position, .0.timeline)]
    NoStart(LogPlace),
    /// Chunks lie behind a place that none follows.
    #[error(
        "the log from the position {:#x} of timeline {} on is missing: what lies behind it begins at {:#x} of timeline {}",
        .0.position, .0.timeline, .1.position, .1.timeline
    )]
    Gap(LogPlace, LogPlace),
    /// A chunk does not name the one before it.
    #[error("the chunk {0} does not follow the one before it")]
    Unlinked(Hash),
}

impl Chain {
    /// The chunks of a stream that follow one another from the one that has `from` on, as far as
    /// they do.
    ///
    /// # Errors
    /// [`ChainError::NoStart`]; [`ChainError::Gap`].
    pub fn of(all: &[ChunkEntry], stream: Uuid, from: LogPlace) -> Result<Self, ChainError> {
        let web = Web::of(all, stream);
        let has_from = |chunk: &ChunkEntry| {
            chunk.start <= from
                && chunk.start.timeline == from.timeline
                && from.position < chunk.end
        };
        let having = (0..web.chunks.len()).filter(|at| has_from(web.chunks[*at]));
        let mut next = web.best(having);
        let mut chunks: Vec<ChunkEntry> = Vec::new();
        while let Some(at) = next {
            chunks.push(web.chunks[at].clone());
            next = web.successor(at);
        }
        let Some(last) = chunks.last() else {
            return Err(ChainError::NoStart(from));
        };
        let end = end_of(last);
        let behind = web.by_start.range(end..).next().map(|(start, _)| *start);
        match behind {
            Some(behind) => Err(ChainError::Gap(end, behind)),
            None => Ok(Self { chunks }),
        }
    }

    /// The chunks, the first one first.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// The last chunk.
    pub fn last(&self) -> Option<&ChunkEntry> {
        self.chunks.last()
    }

    /// Where it ends.
    pub fn end(&self) -> Option<LogPlace> {
        self.chunks.last().map(end_of)
    }

    /// The chunks that have all that was acknowledged until a moment; all when none is later.
    pub fn until(mut self, moment: Timestamp) -> Self {
        let enough = self.chunks.iter().position(|chunk| moment < chunk.at);
        if let Some(enough) = enough {
            self.chunks.truncate(enough + 1);
        }
        self
    }

    /// Whether a chunk is what follows another one that was read.
    ///
    /// # Errors
    /// [`ChainError::Unlinked`].
    pub fn check_link(
        before: Option<(&ChunkHead, Hash)>,
        next: (&ChunkHead, Hash),
    ) -> Result<(), ChainError> {
        let Some((before, hash)) = before else {
            return Ok(());
        };
        let named = next.0.previous;
        match named.is_some() && (named == Some(hash) || named == before.stands_for) {
            true => Ok(()),
            false => Err(ChainError::Unlinked(next.1)),
        }
    }
}

fn end_of(chunk: &ChunkEntry) -> LogPlace {
    LogPlace {
        timeline: chunk.start.timeline,
        position: chunk.end,
    }
}

/// The chunks of a stream, and how far each leads. Of one stretch there may be several: of tries whose
/// end was not known, and joined ones beside those that they were made of.
struct Web<'a> {
    /// Sorted by their places, then by their names.
    chunks: Vec<&'a ChunkEntry>,
    by_start: BTreeMap<LogPlace, Range<usize>>,
    /// Of each chunk: where the farthest way from it ends. Known from the last chunk back.
    reaches: Vec<LogPlace>,
}

impl<'a> Web<'a> {
    fn of(all: &'a [ChunkEntry], stream: Uuid) -> Self {
        let of_stream = all.iter().filter(|chunk| chunk.stream == stream);
        let mut chunks: Vec<&ChunkEntry> = of_stream.collect();
        chunks.sort_by_key(|chunk| (chunk.start, chunk.end, &chunk.path));
        let mut by_start: BTreeMap<LogPlace, Range<usize>> = BTreeMap::new();
        for (at, chunk) in chunks.iter().enumerate() {
            by_start.entry(chunk.start).or_insert(at..at).end = at + 1;
        }
        let reaches = chunks.iter().map(|chunk| end_of(chunk)).collect();
        let mut web = Self {
            chunks,
            by_start,
            reaches,
        };
        for at in (0..web.chunks.len()).rev() {
            if let Some(next) = web.successor(at) {
                web.reaches[at] = web.reaches[next];
            }
        }
        web
    }

    /// The one that leads farthest; of several the longest one.
    fn best(&self, candidates: impl Iterator<Item = usize>) -> Option<usize> {
        candidates.max_by_key(|at| (self.reaches[*at], self.chunks[*at].log_bytes(), *at))
    }

    /// What follows a chunk: on its timeline where it ends; else the first chunk of the next timeline
    /// that there is, which parts from this one at or before its end.
    fn successor(&self, at: usize) -> Option<usize> {
        let end = end_of(self.chunks[at]);
        if let Some(candidates) = self.by_start.get(&end) {
            return self.best(candidates.clone());
        }
        let later = LogPlace {
            timeline: end.timeline.checked_add(1)?,
            position: 0,
        };
        let (start, candidates) = self.by_start.range(later..).next()?;
        (start.position <= end.position)
            .then(|| self.best(candidates.clone()))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(timeline: u32, position: u64) -> LogPlace {
        LogPlace { timeline, position }
    }

    fn entry(start: LogPlace, end: u64) -> ChunkEntry {
        ChunkEntry {
            path: format!("{start:?}-{end}"),
            stream: Uuid::nil(),
            start,
            end,
            at: Timestamp(end.cast_signed()),
            hash: Hash([0; 32]),
            size: 1,
            modified: Timestamp(0),
        }
    }

    fn ends(all: &[ChunkEntry], from: LogPlace) -> Result<Vec<u64>, ChainError> {
        let chain = Chain::of(all, Uuid::nil(), from)?;
        Ok(chain.chunks().iter().map(|chunk| chunk.end).collect())
    }

    #[test]
    fn chunks_follow_one_another_from_the_one_that_has_the_place() {
        let all = [
            entry(place(1, 0), 10),
            entry(place(1, 10), 25),
            entry(place(1, 25), 30),
        ];
        assert_eq!(ends(&all, place(1, 0)), Ok(vec![10, 25, 30]));
        assert_eq!(ends(&all, place(1, 10)), Ok(vec![25, 30]));
        assert_eq!(ends(&all, place(1, 24)), Ok(vec![25, 30]));
        let beyond = place(1, 30);
        assert_eq!(ends(&all, beyond), Err(ChainError::NoStart(beyond)));
        let until = |moment| {
            let chain = Chain::of(&all, Uuid::nil(), place(1, 0)).expect("it is one");
            chain.until(Timestamp(moment)).end().map(|end| end.position)
        };
        // One whose moment is not later may lack what was acknowledged just before it.
        assert_eq!(until(9), Some(10));
        assert_eq!(until(10), Some(25));
        assert_eq!(until(99), Some(30));
    }

    #[test]
    fn a_chunk_that_is_missing_is_named() {
        let all = [entry(place(1, 0), 10), entry(place(1, 25), 30)];
        let gap = ChainError::Gap(place(1, 10), place(1, 25));
        assert_eq!(ends(&all, place(1, 0)), Err(gap));
        assert_eq!(ends(&all, place(1, 25)), Ok(vec![30]));
        let all = [entry(place(1, 0), 10), entry(place(2, 16), 30)];
        let gap = ChainError::Gap(place(1, 10), place(2, 16));
        assert_eq!(ends(&all, place(1, 0)), Err(gap), "it parts behind the end");
    }

    #[test]
    fn another_timeline_goes_on_from_before_the_end() {
        let all = [
            entry(place(1, 0), 10),
            entry(place(1, 10), 27),
            entry(place(2, 16), 40),
            entry(place(2, 40), 41),
        ];
        assert_eq!(ends(&all, place(1, 3)), Ok(vec![10, 27, 40, 41]));
        assert_eq!(ends(&all, place(2, 20)), Ok(vec![40, 41]));
    }

    #[test]
    fn of_several_tries_the_one_counts_that_was_gone_on_from() {
        let all = [
            entry(place(1, 0), 10),
            entry(place(1, 0), 12),
            entry(place(1, 10), 20),
            entry(place(1, 20), 22),
            entry(place(1, 20), 25),
        ];
        assert_eq!(ends(&all, place(1, 0)), Ok(vec![10, 20, 25]));
    }

    #[test]
    fn a_way_that_ends_sooner_is_not_taken() {
        // Two joined the same stretch at other seams, and each removed what it had joined.
        let all = [
            entry(place(1, 0), 20),
            entry(place(1, 0), 30),
            entry(place(1, 20), 40),
            entry(place(1, 30), 50),
            entry(place(1, 40), 60),
        ];
        assert_eq!(ends(&all, place(1, 0)), Ok(vec![20, 40, 60]));
        // What was joined is taken before what it was made of.
        let all = [
            entry(place(1, 0), 10),
            entry(place(1, 0), 20),
            entry(place(1, 10), 20),
            entry(place(1, 20), 30),
        ];
        assert_eq!(ends(&all, place(1, 0)), Ok(vec![20, 30]));
        let chain = Chain::of(&all, Uuid::nil(), place(1, 15)).expect("it is one");
        assert_eq!(chain.chunks()[0].start, place(1, 0));
    }

    #[test]
    fn each_chunk_names_the_one_before_it() {
        let head = |previous, stands_for| ChunkHead {
            stream: Uuid::nil(),
            start: place(1, 0),
            end: 1,
            at: Timestamp(0),
            previous,
            stands_for,
        };
        let (one, two, old) = (Hash([1; 32]), Hash([2; 32]), Hash([3; 32]));
        let links = |before: &ChunkHead, next: &ChunkHead| {
            Chain::check_link(Some((before, one)), (next, two)).is_ok()
        };
        assert!(links(&head(None, None), &head(Some(one), None)));
        assert!(links(&head(None, Some(old)), &head(Some(old), None)));
        assert!(!links(&head(None, None), &head(Some(old), None)));
        assert!(!links(&head(None, None), &head(None, None)));
        assert!(Chain::check_link(None, (&head(Some(old), None), two)).is_ok());
    }

    proptest! {
        #[test]
        fn any_chunk_but_the_last_is_missed(
            lengths in proptest::collection::vec(1_u64..50, 2..30), gone: proptest::sample::Index
        ) {
            let mut at = 0;
            let mut all: Vec<ChunkEntry> = lengths
                .iter()
                .map(|length| {
                    let start = at;
                    at += length;
                    entry(place(1, start), at)
                })
                .collect();
            prop_assert_eq!(ends(&all, place(1, 0)).expect("it is whole").len(), lengths.len());
            all.remove(gone.index(lengths.len() - 1));
            prop_assert!(ends(&all, place(1, 0)).is_err());
        }
    }
}
