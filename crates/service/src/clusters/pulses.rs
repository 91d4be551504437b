//! Which nodes live, as this process sees it: those whose heartbeat moves.
//!
//! It does not know what becomes of the clusters of one that does not.
use std::{collections::HashMap, time::Duration};

use catalog::nodes::{self, NodeState};
use model::{Timestamp, limits};
use tokio::time::Instant;

/// A pause between two looks after which what was seen before says nothing: this process, or the
/// catalog, stood still.
const GAP: Duration = Duration::from_secs(4);

/// When a node's heartbeat last moved, as this process saw it.
#[derive(Debug)]
struct Pulse {
    heartbeat: Timestamp,
    state: NodeState,
    since: Instant,
}

/// What this node sees of the others.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    of: HashMap<String, Pulse>,
    last: Option<Instant>,
}

impl Pulses {
    /// Nothing was seen for a while: what stood still may have been we.
    pub(super) fn forget(&mut self) {
        self.of.clear();
        self.last = None;
    }

    pub(super) fn see(&mut self, listed: &[nodes::Node], now: Instant) {
        if self.last.is_some_and(|last| GAP < now - last) {
            self.of.clear();
        }
        self.last = Some(now);
        for node in listed {
            match self.of.get_mut(&node.name) {
                Some(pulse) if pulse.heartbeat == node.heartbeat_at => pulse.state = node.state,
                _ => {
                    let pulse = Pulse {
                        heartbeat: node.heartbeat_at,
                        state: node.state,
                        since: now,
                    };
                    self.of.insert(node.name.clone(), pulse);
                }
            }
        }
    }

    /// How a node is: one that ended in order leaves its databases running.
    pub(super) fn node(&self, name: &str, now: Instant) -> Life {
        match self.of.get(name) {
            Some(pulse) if limits::NODE_SILENCE <= now - pulse.since => match pulse.state {
                NodeState::Stopped => Life::Stopped,
                NodeState::Serving | NodeState::Draining => Life::Silent,
            },
            _ => Life::Lives,
        }
    }
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Lives,
    Stopped,
    Silent,
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_secs(1);

    fn node(beat: i64, state: NodeState) -> nodes::Node {
        nodes::Node {
            name: "n".to_owned(),
            home: String::new(),
            incarnation: String::new(),
            state,
            endpoint: String::new(),
            build: String::new(),
            zone: None,
            started_at: Timestamp(0),
            heartbeat_at: Timestamp(beat),
        }
    }

    #[test]
    fn a_node_is_silent_when_its_heartbeat_was_seen_to_stand_still() {
        let began = Instant::now();
        let mut pulses = Pulses::default();
        let mut now = began;
        let look = |pulses: &mut Pulses, now, beat, state| {
            pulses.see(&[node(beat, state)], now);
            pulses.node("n", now)
        };
        let mut seen = Life::Lives;
        while now < began + limits::NODE_SILENCE {
            assert_eq!(seen, Life::Lives);
            seen = look(&mut pulses, now, 1, NodeState::Serving);
            now += POLL;
        }
        let silent = look(&mut pulses, now, 1, NodeState::Serving);
        assert_eq!(silent, Life::Silent);
        let stopped = look(&mut pulses, now, 1, NodeState::Stopped);
        assert_eq!(stopped, Life::Stopped);
        let lives = look(&mut pulses, now, 2, NodeState::Serving);
        assert_eq!(lives, Life::Lives);
        // We were frozen, or the catalog was away: that says nothing of others.
        now += limits::NODE_SILENCE;
        let lives = look(&mut pulses, now, 2, NodeState::Serving);
        assert_eq!(lives, Life::Lives);
        now += limits::NODE_SILENCE;
        pulses.forget();
        let lives = look(&mut pulses, now, 2, NodeState::Serving);
        assert_eq!(lives, Life::Lives);
    }
}
