//! Waiting until a snapshot is available.
//!
//! It does not know who makes it.
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::rows::{parameters, percent, status, text};
use crate::{
    client::{Api, ApiError},
    commands::{
        arguments::Format,
        failure::Failure,
        output::print,
        progress_bar::{Bar, of_percent},
    },
};

/// Between two looks at a snapshot that is being made.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Between two lines where nobody sees a bar.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// For how long a server may be away while it is waited for: it may be upgraded.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How a verb waits.
#[derive(Debug, Args)]
pub(super) struct Waiting {
    /// How long to wait; 0 to wait for nothing [default: until it is done]
    #[arg(long, value_name = "SECONDS")]
    pub(super) timeout: Option<u64>,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Waits until a snapshot is available, and prints it.
pub(super) async fn wait(
    api: &Api,
    region: &str,
    name: &str,
    waiting: &Waiting,
) -> Result<(), Failure> {
    let again = format!("snapferry snapshot wait {name} --region {region}");
    tokio::select! {
        done = watch(api, region, name, waiting, &again) => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted { again: Some(again) }),
    }
}

async fn watch(
    api: &Api,
    region: &str,
    name: &str,
    waiting: &Waiting,
    again: &str,
) -> Result<(), Failure> {
    let asked = parameters([("DBClusterSnapshotIdentifier", json!(name))]);
    let mut progress = Progress::new(waiting.format);
    let begun = Instant::now();
    let mut heard = begun;
    let mut seen = false;
    loop {
        match api
            .call(region, "DescribeDBClusterSnapshots", asked.clone())
            .await
        {
            Ok(mut found) => {
                (heard, seen) = (Instant::now(), true);
                let snapshot = found["items"][0].take();
                match text(&snapshot, "Status") {
                    "available" => return progress.end(&snapshot),
                    "failed" => {
                        progress.bar.clear();
                        return Err(lost(name, "failed"));
                    }
                    status => {
                        if waiting.timeout == Some(0) {
                            return progress.end(&snapshot);
                        }
                        progress.show(name, status, percent(&snapshot))?;
                        let waited = begun.elapsed();
                        if waiting.timeout.is_some_and(|most| most <= waited.as_secs()) {
                            progress.bar.clear();
                            return Err(Failure::WaitTimedOut {
                                id: name.to_owned(),
                                status: status.to_owned(),
                                seconds: waited.as_secs(),
                                again: again.to_owned(),
                            });
                        }
                    }
                }
            }
            Err(error) if seen && error.is_not_found() => {
                progress.bar.clear();
                return Err(lost(name, "was deleted"));
            }
            // A server that is upgraded is away for a moment.
            Err(error) if seen && error.is_passing() && heard.elapsed() < SILENCE_MAX => {}
            Err(error) => return Err(refused(error, &progress)),
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

fn lost(name: &str, became: &str) -> Failure {
    Failure::SnapshotLost {
        id: name.to_owned(),
        became: became.to_owned(),
    }
}

fn refused(error: ApiError, progress: &Progress) -> Failure {
    progress.bar.clear();
    error.into()
}

/// How far it is: a bar on a terminal, a line now and then elsewhere, objects as JSON.
struct Progress {
    format: Format,
    bar: Bar,
    begun: Instant,
    /// Where it was when it was first seen, percent.
    first: Option<u64>,
    told: Option<Instant>,
}

impl Progress {
    fn new(format: Format) -> Self {
        Self {
            format,
            bar: Bar::new(format),
            begun: Instant::now(),
            first: None,
            told: None,
        }
    }

    fn show(&mut self, name: &str, status: &str, percent: u64) -> Result<(), Failure> {
        let first = *self.first.get_or_insert(percent);
        let left = seconds_left(first, percent, self.begun.elapsed());
        let line = of_percent(percent, &format!("{name} {status}"), left);
        self.bar.show(&line);
        let due = self.told.is_none_or(|told| LINE_PAUSE <= told.elapsed());
        match self.format {
            Format::Json => print(&format!(
                "{}\n",
                json!({"type": "progress", "status": status, "percent": percent, "seconds_remaining": left})
            ))?,
            Format::Text if due && !self.bar.is_shown() => {
                eprintln!("{line}");
                self.told = Some(Instant::now());
            }
            Format::Text => {}
        }
        Ok(())
    }

    fn end(&self, snapshot: &Value) -> Result<(), Failure> {
        self.bar.clear();
        match self.format {
            Format::Json => print(&format!(
                "{}\n",
                json!({"type": "result", "snapshot": snapshot})
            )),
            Format::Text => print(&format!(
                "{} is {}\n",
                text(snapshot, "DBClusterSnapshotArn"),
                status(snapshot)
            )),
        }
    }
}

/// As long as the rest takes at the pace since the first look; none before anything moved.
fn seconds_left(first: u64, now: u64, elapsed: Duration) -> Option<u64> {
    let moved = now.checked_sub(first).filter(|moved| *moved != 0)?;
    let rest = 100_u64.saturating_sub(now);
    Some((elapsed.as_secs_f64() * rest as f64 / moved as f64).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_pace() {
        let second = Duration::from_secs(1);
        assert_eq!(seconds_left(10, 10, second), None);
        assert_eq!(seconds_left(10, 20, second), Some(8));
        assert_eq!(seconds_left(0, 100, second), Some(0));
        assert_eq!(seconds_left(50, 0, second), None);
    }
}
