//! How often sign-ins may fail: by one key from one address, and by one address at all.
//!
//! It does not know what a right secret is.
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::Timestamp;

/// Attempts are counted for so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Failures of a key from an address within it.
const OF_KEY_MAX: usize = 5;
/// Failures of an address within it, with whatever keys.
const OF_ADDRESS_MAX: usize = 20;
/// Those that are remembered; beyond it the oldest are forgotten.
const REMEMBERED_MAX: usize = 1_024;

/// Who failed: an address, none where a proxy hides it, and the key that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    from: Option<IpAddr>,
    key: Option<String>,
}

/// The failures of the last minute.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: Mutex<HashMap<Who, Vec<Timestamp>>>,
}

impl Attempts {
    /// Counts an attempt as failed until it is known to be right; answers false when there were too
    /// many.
    pub(super) fn begin(&self, from: Option<IpAddr>, key: &str, now: Timestamp) -> bool {
        let mut failed = self.lock();
        failed.retain(|_, times| {
            times.retain(|at| now.is_within(WINDOW, *at));
            !times.is_empty()
        });
        let by_key = Who {
            from,
            key: Some(key.to_owned()),
        };
        // Behind a proxy all would share what is one's.
        let by_address = from.map(|_| Who { from, key: None });
        let bounds = [(Some(by_key), OF_KEY_MAX), (by_address, OF_ADDRESS_MAX)];
        let bounds = bounds.map(|(who, most)| who.map(|who| (who, most)));
        let full = |(who, most): &(Who, usize)| {
            let times = failed.get(who);
            times.is_some_and(|times| *most <= times.len())
        };
        if bounds.iter().flatten().any(full) {
            return false;
        }
        for (who, _) in bounds.into_iter().flatten() {
            make_room(&mut failed);
            failed.entry(who).or_default().push(now);
        }
        true
    }

    /// An attempt was right: what failed before it with this key from there is forgotten.
    pub(super) fn succeeded(&self, from: Option<IpAddr>, key: &str) {
        let mut failed = self.lock();
        let key = Some(key.to_owned());
        failed.remove(&Who { from, key });
        let by_address = Who { from, key: None };
        if let Some(times) = failed.get_mut(&by_address) {
            times.pop();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Vec<Timestamp>>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(failed: &mut HashMap<Who, Vec<Timestamp>>) {
    if failed.len() < REMEMBERED_MAX {
        return;
    }
    let oldest = failed.iter().min_by_key(|(_, times)| times.last().copied());
    if let Some(who) = oldest.map(|(who, _)| who.clone()) {
        failed.remove(&who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000_000_000_000);
    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn there(number: u8) -> Option<IpAddr> {
        Some([10, 0, 0, number].into())
    }

    #[test]
    fn a_key_may_fail_some_times_a_minute() {
        let attempts = Attempts::default();
        assert!((0..OF_KEY_MAX).all(|_| attempts.begin(HERE, "A", START)));
        assert!(!attempts.begin(HERE, "A", START));
        assert!(
            attempts.begin(there(1), "A", START),
            "its owner is elsewhere"
        );
        assert!(attempts.begin(HERE, "B", START));
        let later = START.plus(WINDOW).plus(Duration::from_secs(1));
        assert!(attempts.begin(HERE, "A", later));
    }

    #[test]
    fn an_address_may_fail_some_times_with_any_key() {
        let attempts = Attempts::default();
        let tries = |from, count: usize| {
            (0..count).all(|number| attempts.begin(from, &number.to_string(), START))
        };
        assert!(tries(HERE, OF_ADDRESS_MAX));
        assert!(!attempts.begin(HERE, "X", START));
        assert!(
            tries(None, OF_ADDRESS_MAX + 1),
            "those behind a proxy share no bound"
        );
    }

    #[test]
    fn what_succeeds_was_no_failure_and_not_all_is_remembered() {
        let attempts = Attempts::default();
        for _ in 0..10 * OF_ADDRESS_MAX {
            assert!(attempts.begin(HERE, "A", START));
            attempts.succeeded(HERE, "A");
        }
        for number in 0..2 * REMEMBERED_MAX {
            attempts.begin(None, &number.to_string(), START);
        }
        assert!(attempts.lock().len() <= REMEMBERED_MAX);
    }
}
