//! How fast jobs go, and how long they will take.
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use model::Timestamp;

use super::shapes::Job;

/// A rate is that of so long, or of less when there is no more.
const WINDOW: Duration = Duration::from_secs(15);
/// What was seen over less than this tells nothing.
const WINDOW_MIN: Duration = Duration::from_millis(900);

/// How far jobs were, when.
#[derive(Debug, Default)]
pub(super) struct Rates {
    samples: HashMap<String, VecDeque<(Timestamp, u64)>>,
}

impl Rates {
    /// Sees jobs as they are now, and forgets all others.
    pub(super) fn see(&mut self, jobs: &[Job], now: Timestamp) {
        let before = std::mem::take(&mut self.samples);
        for job in jobs {
            let mut samples = before.get(&job.id).cloned().unwrap_or_default();
            samples.push_back((now, job.bytes_done));
            while samples.len() > 2 && !now.is_within(WINDOW, samples[1].0) {
                samples.pop_front();
            }
            self.samples.insert(job.id.clone(), samples);
        }
    }

    /// Bytes a second: lately, or since it was asked for.
    pub(super) fn of(&self, job: &Job) -> Option<f64> {
        let samples = self.samples.get(&job.id)?;
        let (first, last) = (samples.front()?, samples.back()?);
        let seen = last.0.since(first.0);
        let (bytes, took) = match WINDOW_MIN <= seen {
            true => (last.1.saturating_sub(first.1), seen),
            false => (last.1, last.0.since(Timestamp::parse(&job.create_time)?)),
        };
        let known = 0 < bytes && Duration::ZERO < took;
        known.then(|| bytes as f64 / took.as_secs_f64())
    }

    /// How long it will take, at this rate.
    pub(super) fn left(&self, job: &Job) -> Option<Duration> {
        let bytes = job.bytes_total.checked_sub(job.bytes_done)?;
        let rate = self.of(job).filter(|rate| 1.0 <= *rate)?;
        (0 < job.bytes_total).then(|| Duration::from_secs((bytes as f64 / rate) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Timestamp {
        let start = Timestamp::parse("2026-11-29T00:00:00Z").expect("a moment");
        start.plus(Duration::from_secs(seconds))
    }

    fn job(done: u64) -> Job {
        serde_json::from_value(serde_json::json!({
            "JobIdentifier": "a", "JobType": "copy-snapshot", "SourceType": "snapshot",
            "SourceIdentifier": "b", "CreateTime": "2026-11-29T00:00:00Z", "BytesTotal": 100_000,
            "BytesDone": done, "PercentProgress": 0, "Attempts": 1,
        }))
        .expect("a job")
    }

    #[test]
    fn a_rate_is_that_of_lately() {
        let mut rates = Rates::default();
        rates.see(&[job(1_000)], after(10));
        assert_eq!(rates.of(&job(1_000)), Some(100.0), "since it was asked for");
        for second in 11..=60 {
            rates.see(&[job(1_000 + (second - 10) * 1_000)], after(second));
        }
        assert_eq!(rates.of(&job(51_000)), Some(1_000.0));
        assert_eq!(rates.left(&job(51_000)), Some(Duration::from_secs(49)));
        assert!(rates.samples["a"].len() <= 17);
        for second in 61..=90 {
            rates.see(&[job(51_000)], after(second));
        }
        assert_eq!(
            (rates.of(&job(51_000)), rates.left(&job(51_000))),
            (None, None),
            "it stands still"
        );
        rates.see(&[], after(91));
        assert!(rates.samples.is_empty());
    }
}
