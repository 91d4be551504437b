//! A Multi-AZ DB cluster whose instances are on several nodes: how its writes are handed over.
//!
//! It does not know how a server is ended, nor who does it.
//!
//! Invariant: a commit that a client was told of is in the log of the writer and of a reader. So once no
//! reader follows the old writer any more, the reader with the most log has all such commits, and the old
//! writer cannot tell anybody of another one, whether it lives or not.
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, ids::InstanceId};

/// How far a server is that has left its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The latest line of the log that it knows of: each promotion begins another.
    pub timeline: u32,
    /// The end of the log that it has; zero of one that never followed that writer.
    pub position: u64,
}

/// What a cluster has beyond others whose instances are on several nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Counts the writers that the readers followed, from 1 on: what has left one of them follows later
    /// ones only.
    pub term: u64,
    /// Where the reader stood that became the writer; none of the first one.
    #[serde(default)]
    pub begins: Option<Standing>,
    /// The handover that is under way.
    #[serde(default)]
    pub handover: Option<Handover>,
    /// The readers whose files are being made anew, as their own nodes find them: meanwhile they cannot tell
    /// what they have, so no other one can be known to have all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unready: Vec<InstanceId>,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            term: 1,
            begins: None,
            handover: None,
            unready: Vec::new(),
        }
    }
}

/// A handover of a cluster's writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The instance that takes the writes until then.
    pub from: InstanceId,
    /// The one that was asked for.
    #[serde(default)]
    pub target: Option<InstanceId>,
    /// Whether the old writer's own node has ended it.
    #[serde(default)]
    pub ended: bool,
    /// When it began.
    pub since: Timestamp,
    /// The readers that have left the old writer.
    #[serde(default)]
    pub left: Vec<(InstanceId, Standing)>,
    /// The one that takes the writes from here on. It stays the same from then on.
    #[serde(default)]
    pub chosen: Option<InstanceId>,
}

impl Handover {
    /// One that has just begun.
    pub fn new(from: InstanceId, since: Timestamp) -> Self {
        Self {
            from,
            target: None,
            ended: false,
            since,
            left: Vec::new(),
            chosen: None,
        }
    }

    /// Whether an instance has left the old writer.
    pub fn has_left(&self, id: &InstanceId) -> bool {
        self.left.iter().any(|(one, _)| one == id)
    }

    /// The reader that takes the writes: once all have left, the one with the most log, and among such
    /// equals the one that was asked for, then the lowest tier. None while one has not left, and where none
    /// of them has what the old writer began with: another writer's commits may be missing. `readers` are
    /// all that the cluster has, with their promotion tiers.
    pub fn choose(
        &self,
        begins: Option<Standing>,
        readers: &[(InstanceId, u8)],
    ) -> Option<InstanceId> {
        let mut standings = Vec::new();
        for (reader, tier) in readers {
            let (_, standing) = self.left.iter().find(|(one, _)| one == reader)?;
            standings.push((reader, *tier, *standing));
        }
        let most = standings.iter().map(|one| one.2).max()?;
        let has_all =
            |begins: Standing| begins.timeline < most.timeline && begins.position <= most.position;
        if most.position == 0 || !begins.is_none_or(has_all) {
            return None;
        }
        let equals = standings.iter().filter(|one| one.2 == most);
        let best = equals.min_by_key(|(id, tier, _)| (self.target.as_ref() != Some(*id), *tier));
        best.map(|(id, ..)| (*id).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: char) -> InstanceId {
        let text = format!("db-{}", letter.to_string().repeat(26));
        text.parse().expect("an id")
    }

    fn at(timeline: u32, position: u64) -> Standing {
        Standing { timeline, position }
    }

    #[test]
    fn the_reader_with_the_most_log_is_chosen_once_all_have_left() {
        let (b, c) = (id('B'), id('C'));
        let all = [(b.clone(), 1), (c.clone(), 0)];
        let mut handover = Handover::new(id('A'), Timestamp(1));
        assert_eq!(handover.choose(None, &all), None, "nobody has left");
        handover.left.push((b.clone(), at(1, 70)));
        let chosen = handover.choose(None, &all);
        assert_eq!(chosen, None, "the other one may have what this one has not");
        handover.left.push((c.clone(), at(1, 60)));
        handover.target = Some(c.clone());
        let chosen = handover.choose(None, &all);
        assert_eq!(chosen, Some(b.clone()), "no commit is lost");
        handover.left[1].1 = at(1, 70);
        let chosen = handover.choose(None, &all);
        assert_eq!(chosen, Some(c.clone()), "it was asked for");
        handover.target = None;
        assert_eq!(handover.choose(None, &all), Some(c.clone()), "its tier");
        // A line of the log goes before its length.
        handover.left = vec![(c.clone(), at(1, 90)), (b.clone(), at(2, 80))];
        assert_eq!(handover.choose(None, &all), Some(b));
    }

    #[test]
    fn who_lacks_what_the_old_writer_began_with_is_not_chosen() {
        let (b, c) = (id('B'), id('C'));
        let all = [(b.clone(), 1), (c.clone(), 1)];
        let mut handover = Handover::new(id('A'), Timestamp(1));
        handover.left = vec![(b, Standing::default()), (c.clone(), at(1, 90))];
        let begins = Some(at(1, 100));
        let chosen = handover.choose(begins, &all);
        assert_eq!(chosen, None, "it never followed this writer");
        handover.left[1].1 = at(2, 90);
        assert_eq!(handover.choose(begins, &all), None, "it was on its way");
        handover.left[1].1 = at(2, 100);
        assert_eq!(handover.choose(begins, &all), Some(c));
        handover.left[1].1 = Standing::default();
        assert_eq!(handover.choose(None, &all), None, "nobody followed");
    }
}
