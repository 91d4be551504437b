//! Sets of transactions' numbers, as servers write them: `uuid:1-5:7,uuid:3`.
//!
//! It does not know what the transactions do.
use std::collections::BTreeMap;

/// A server's number as transactions carry it.
pub(in crate::mysql) type Origin = [u8; 16];

/// How many transactions a set in words has. What makes no sense counts for none.
pub(in crate::mysql) fn count(text: &str) -> u64 {
    let parts = text.split(',').flat_map(|of| of.trim().split(':').skip(1));
    parts.map(count_in).fold(0, u64::saturating_add)
}

fn count_in(interval: &str) -> u64 {
    let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) => last.saturating_sub(first).saturating_add(1),
        _ => 0,
    }
}

/// Transactions by their origins, in stretches from a number to behind another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::mysql) struct Gtids(BTreeMap<Origin, Vec<(u64, u64)>>);

impl Gtids {
    /// Adds a stretch; those of one origin come in the order of their numbers as a rule.
    pub(in crate::mysql) fn add(&mut self, origin: Origin, first: u64, behind: u64) {
        let stretches = self.0.entry(origin).or_default();
        match stretches.last_mut() {
            Some((_, end)) if *end == first => *end = behind,
            _ => stretches.push((first, behind)),
        }
    }

    /// Adds all of another set, whose numbers come later as a rule.
    pub(in crate::mysql) fn join(&mut self, other: Self) {
        for (origin, stretches) in other.0 {
            for (first, behind) in stretches {
                self.add(origin, first, behind);
            }
        }
    }

    pub(in crate::mysql) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In words, as servers read them.
    pub(in crate::mysql) fn text(&self) -> String {
        let origins = self.0.iter().map(|(origin, stretches)| {
            let stretches: String = stretches
                .iter()
                .map(|(first, behind)| format!(":{first}-{}", behind.saturating_sub(1)))
                .collect();
            format!("{}{stretches}", uuid::Uuid::from_bytes(*origin))
        });
        origins.collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_counted_and_written() {
        let one = "289a34e8-ebf3-11f1-85d1-02fc00000001";
        for (text, expected) in [
            (String::new(), 0),
            (format!("{one}:1"), 1),
            (format!("{one}:1-5:7,\n{one}:3"), 7),
            (format!("{one}:tag:2-3"), 2),
            (format!("{one}:x"), 0),
        ] {
            assert_eq!(count(&text), expected, "{text}");
        }
        let mut set = Gtids::default();
        assert!(set.is_empty());
        let origin = *uuid::Uuid::parse_str(one).expect("a uuid").as_bytes();
        for (first, behind) in [(4, 5), (5, 6), (9, 10)] {
            set.add(origin, first, behind);
        }
        assert_eq!(set.text(), format!("{one}:4-5:9-9"));
    }
}
