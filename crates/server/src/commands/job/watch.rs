//! Watches jobs until they end.
//!
//! It does not know what the jobs do.
use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use catalog::{Catalog, CatalogExt, jobs};
use model::{Job, JobState};
use serde_json::json;

use crate::commands::{
    arguments::Format,
    failure::Failure,
    output::{ROWS_MAX, print, run},
    progress_bar::Paced,
};
use crate::units::size;

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Between two lines of a job where nobody sees a bar.
const LINE_PAUSE: Duration = Duration::from_secs(10);

/// Watches jobs.
pub(super) struct Watch {
    catalog: Arc<dyn Catalog>,
    wanted: Option<String>,
    timeout: Option<u64>,
    format: Format,
    /// Whether bars are drawn.
    shown: bool,
    /// How many lines of bars are on the terminal.
    drawn: usize,
    seen: HashMap<String, Seen>,
}

/// A job since it was first seen.
struct Seen {
    pace: Paced,
    told: Option<Instant>,
}

impl Watch {
    pub(super) fn new(
        catalog: Arc<dyn Catalog>,
        wanted: Option<String>,
        timeout: Option<u64>,
        format: Format,
    ) -> Self {
        Self {
            catalog,
            wanted,
            timeout,
            format,
            shown: format == Format::Text && io::stderr().is_terminal(),
            drawn: 0,
            seen: HashMap::new(),
        }
    }

    /// Until all that is watched has ended.
    ///
    /// # Errors
    /// [`Failure::NoJob`] when there is none of that name; when one failed; when it takes too long.
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let again = match &self.wanted {
            Some(wanted) => format!("snapferry job watch {wanted}"),
            None => "snapferry job watch".to_owned(),
        };
        run(async move {
            let begun = Instant::now();
            let patience = self.timeout.map(Duration::from_secs);
            let waits = again.clone();
            tokio::select! {
                ended = self.watch() => ended,
                () = elapsed(patience) => Err(Failure::WatchTimedOut { seconds: begun.elapsed().as_secs(), again: waits }),
                _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted { again: Some(again) }),
            }
        })
    }

    async fn watch(&mut self) -> Result<(), Failure> {
        let mut followed: Option<Vec<String>> = None;
        loop {
            let all = self
                .catalog
                .read(|tx| jobs::list(tx, None, ROWS_MAX))
                .await?;
            let ids = followed.get_or_insert_with(|| {
                let wanted = all.iter().filter(|job| self.is_wanted(job));
                wanted.map(|job| job.id.to_string()).collect()
            });
            if ids.is_empty() && self.wanted.is_some() {
                return Err(Failure::NoJob(self.wanted.take().unwrap_or_default()));
            }
            let jobs: Vec<&Job> = all
                .iter()
                .filter(|job| ids.contains(&job.id.to_string()))
                .collect();
            self.tell(&jobs)?;
            // One that ended long ago is gone from the list.
            if jobs.iter().all(|job| job.state != JobState::Open) {
                return self.end(&jobs);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    fn is_wanted(&self, job: &Job) -> bool {
        match &self.wanted {
            None => job.state == JobState::Open,
            Some(wanted) if job.id.to_string() == *wanted => true,
            Some(wanted) => job.state == JobState::Open && job.subject.name() == wanted,
        }
    }

    fn tell(&mut self, jobs: &[&Job]) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for job in jobs.iter().filter(|job| job.state == JobState::Open) {
            let progress = &job.progress;
            let seen = self.seen.entry(job.id.to_string()).or_insert_with(|| Seen {
                pace: Paced::new(progress.bytes_done),
                told: None,
            });
            let (done, total) = (progress.bytes_done, progress.bytes_total);
            let left = seen.pace.seconds_left(done, total);
            let what = format!("{} {}", job.kind.as_str(), job.subject.name());
            let line = seen.pace.line(&what, done, total);
            let due = seen.told.is_none_or(|told| LINE_PAUSE <= told.elapsed());
            match self.format {
                Format::Json => print(&format!(
                    "{}\n",
                    json!({
                        "type": "progress", "job": job.id.to_string(), "kind": job.kind.as_str(),
                        "subject": job.subject.name(), "percent": progress.percent(), "bytes": done,
                        "bytes_total": total, "seconds_remaining": left,
                    })
                ))?,
                Format::Text if due && !self.shown => {
                    eprintln!("{line}");
                    seen.told = Some(Instant::now());
                }
                Format::Text => {}
            }
            lines.push(line);
        }
        self.draw(&lines);
        Ok(())
    }

    /// Puts lines where the last ones were.
    fn draw(&mut self, lines: &[String]) {
        if !self.shown {
            return;
        }
        let mut text = String::new();
        if self.drawn != 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in lines {
            text.push_str(&format!("\r\x1b[K{line}\n"));
        }
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        // Without anyone to see it, it needs not be shown.
        let _ = write!(io::stderr(), "{text}");
    }

    fn end(&mut self, jobs: &[&Job]) -> Result<(), Failure> {
        self.draw(&[]);
        let failed = jobs.iter().find(|job| job.state != JobState::Done);
        for job in jobs {
            let state = job.state.as_str();
            match self.format {
                Format::Json => print(&format!(
                    "{}\n",
                    json!({
                        "type": "result", "job": job.id.to_string(), "kind": job.kind.as_str(),
                        "subject": job.subject.name(), "state": state, "error": job.error,
                    })
                ))?,
                Format::Text => print(&format!(
                    "{} {} is {state}, {}\n",
                    job.kind.as_str(),
                    job.subject.name(),
                    size(job.progress.bytes_done)
                ))?,
            }
        }
        match failed {
            None => Ok(()),
            Some(job) => Err(Failure::JobFailed {
                id: job.id.to_string(),
                error: job.error.clone(),
            }),
        }
    }
}

async fn elapsed(patience: Option<Duration>) {
    match patience {
        Some(patience) => tokio::time::sleep(patience).await,
        None => std::future::pending().await,
    }
}
