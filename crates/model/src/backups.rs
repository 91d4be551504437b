//! Automated backups: when one is due, and where the windows lie that clusters are given.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, cluster_options::Window, ids::Region};

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long after one that failed the next is tried.
const AGAIN: Duration = Duration::from_secs(3_600);
/// How long after one that gave way.
const SOON: Duration = Duration::from_secs(300);

/// The block of eight hours in which a region's default backup windows lie, UTC ("Backup window",
/// Aurora User Guide).
const BLOCKS: &[(&str, &str)] = &[
    ("af-south-1", "03:00-11:00"),
    ("ap-east-1", "06:00-14:00"),
    ("ap-east-2", "09:00-17:00"),
    ("ap-northeast-1", "13:00-21:00"),
    ("ap-northeast-2", "13:00-21:00"),
    ("ap-northeast-3", "00:00-08:00"),
    ("ap-south-1", "16:30-00:30"),
    ("ap-south-2", "06:30-14:30"),
    ("ap-southeast-1", "14:00-22:00"),
    ("ap-southeast-2", "12:00-20:00"),
    ("ap-southeast-3", "08:00-16:00"),
    ("ap-southeast-4", "11:00-19:00"),
    ("ap-southeast-5", "09:00-17:00"),
    ("ap-southeast-6", "13:00-21:00"),
    ("ap-southeast-7", "08:00-16:00"),
    ("ca-central-1", "03:00-11:00"),
    ("ca-west-1", "18:00-02:00"),
    ("cn-north-1", "06:00-14:00"),
    ("cn-northwest-1", "06:00-14:00"),
    ("eu-central-1", "20:00-04:00"),
    ("eu-central-2", "02:00-10:00"),
    ("eu-north-1", "23:00-07:00"),
    ("eu-south-1", "02:00-10:00"),
    ("eu-south-2", "02:00-10:00"),
    ("eu-west-1", "22:00-06:00"),
    ("eu-west-2", "22:00-06:00"),
    ("eu-west-3", "07:29-14:29"),
    ("il-central-1", "03:00-11:00"),
    ("me-central-1", "05:00-13:00"),
    ("me-south-1", "06:00-14:00"),
    ("mx-central-1", "19:00-03:00"),
    ("sa-east-1", "23:00-07:00"),
    ("us-east-1", "03:00-11:00"),
    ("us-east-2", "03:00-11:00"),
    ("us-gov-east-1", "17:00-01:00"),
    ("us-gov-west-1", "06:00-14:00"),
    ("us-west-1", "06:00-14:00"),
    ("us-west-2", "06:00-14:00"),
];
/// For regions that AWS does not have.
const OTHER_BLOCK: &str = "03:00-11:00";

/// Half an hour of a region's block that `draw` chooses.
pub fn default_window(region: &Region, draw: u32) -> Window {
    let listed = BLOCKS.iter().find(|(name, _)| *name == region.as_str());
    let text = listed.map_or(OTHER_BLOCK, |(_, block)| block);
    Window::daily(text).expect("a block is a window").part(draw)
}

/// How a cluster's automated snapshots stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupState {
    /// When the last one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// When the next is tried, after one that could not be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
}

impl BackupState {
    /// Whether none was ever asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether one is to be taken: the first at once, then one each day as the window opens. A day
    /// that nobody lived through its window is caught up, once.
    pub fn is_due(&self, daily: Window, now: Timestamp) -> bool {
        // What lies further ahead than was ever noted was told by a clock that has been set back.
        if let Some(at) = self.again_at {
            return at <= now || now.plus(AGAIN) < at;
        }
        let Some(asked) = self.asked_at else {
            return true;
        };
        now.plus(DAY) < asked
            || asked < daily.last_opening(now) && (daily.contains(now) || DAY <= now.since(asked))
    }

    /// One was asked for.
    pub fn asked(&mut self, now: Timestamp) {
        *self = Self {
            asked_at: Some(now),
            again_at: None,
        };
    }

    /// Another is wanted whatever the window says.
    pub fn at_once(&mut self, now: Timestamp) {
        self.again_at = Some(now);
    }

    /// The one that is being taken gives way to what the cluster's owner asked for.
    pub fn put_off(&mut self, now: Timestamp) {
        self.again_at = Some(now.plus(SOON));
    }

    /// The one that was asked for could not be taken.
    pub fn failed(&mut self, now: Timestamp) {
        self.asked_at = self.asked_at.or(Some(now));
        self.again_at = Some(now.plus(AGAIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a moment")
    }

    #[test]
    fn default_windows_lie_in_the_block_of_their_region() {
        for (region, block) in BLOCKS {
            let region: Region = region.parse().expect("a region");
            let block = Window::daily(block).expect("a window");
            for draw in [0, 1, 419, 450, 451, u32::MAX] {
                let drawn = default_window(&region, draw);
                assert_eq!(Window::daily(&drawn.text()), Some(drawn), "half an hour");
                let first = drawn.last_opening(at("2026-11-28T12:00:00Z"));
                assert!(block.contains(first), "{region} {}", drawn.text());
                let last = first.plus(Duration::from_secs(30 * 60 - 1));
                assert!(block.contains(last), "{region} {}", drawn.text());
            }
        }
        let other = default_window(&"xx-nowhere-1".parse().expect("a region"), 0);
        assert_eq!(other.text(), "03:00-03:30");
    }

    #[test]
    fn one_a_day_is_due_and_a_missed_one_once() {
        let daily = Window::daily("23:45-00:15").expect("a window");
        let mut state = BackupState::default();
        assert!(state.is_due(daily, at("2026-11-27T12:00:00Z")), "the first");
        state.asked(at("2026-11-27T12:00:00Z"));
        for (moment, due) in [
            ("2026-11-27T12:00:01Z", false),
            ("2026-11-27T23:44:59Z", false),
            ("2026-11-27T23:45:00Z", true),
            ("2026-11-28T00:14:59Z", true),
            // Missed, and not a day old yet.
            ("2026-11-28T00:15:00Z", false),
            ("2026-11-28T12:00:00Z", true),
        ] {
            assert_eq!(state.is_due(daily, at(moment)), due, "{moment}");
        }
        state.asked(at("2026-11-28T00:01:00Z"));
        assert!(
            !state.is_due(daily, at("2026-11-28T00:02:00Z")),
            "it is this day's"
        );
        assert!(state.is_due(daily, at("2026-11-28T23:45:00Z")));
        // Off for a week: caught up once.
        assert!(state.is_due(daily, at("2026-12-05T12:00:00Z")));
        state.asked(at("2026-12-05T12:00:00Z"));
        assert!(!state.is_due(daily, at("2026-12-05T12:01:00Z")));
        // Another window on the same day waits for it to open, and does not count as missed.
        let earlier = Window::daily("12:30-13:00").expect("a window");
        assert!(!state.is_due(earlier, at("2026-12-05T12:15:00Z")));
        assert!(!state.is_due(earlier, at("2026-12-05T13:15:00Z")));
        assert!(state.is_due(earlier, at("2026-12-05T12:40:00Z")));
    }

    #[test]
    fn one_that_failed_is_tried_again_and_a_clock_set_back_holds_nothing_up() {
        let daily = Window::daily("03:00-03:30").expect("a window");
        let mut state = BackupState::default();
        state.asked(at("2026-11-28T03:00:00Z"));
        state.failed(at("2026-11-28T03:05:00Z"));
        assert!(!state.is_due(daily, at("2026-11-28T04:04:59Z")));
        assert!(state.is_due(daily, at("2026-11-28T04:05:00Z")));
        assert!(state.is_due(daily, at("2026-11-28T03:00:00Z")), "set back");
        state.asked(at("2036-11-28T03:00:00Z"));
        assert!(state.is_due(daily, at("2026-11-28T12:00:00Z")), "set back");
    }
}
