//! `snapferry events`: what happened to clusters and snapshots, over the API of a server anywhere.
//!
//! It does not know what events there are.
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Map, Value, json};

use crate::{
    client::{Api, Remote},
    commands::{
        arguments::ListFormat,
        completion,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{lines_of_json, print, run, table},
    },
};

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// For how long a server may be away: it may be upgraded.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How far each look of a follower reaches back, minutes: events are told a little after they happened.
const FOLLOWED_MINUTES: u32 = 5;

/// Tell what happened to clusters, instances and snapshots, the oldest first
///
/// With --follow it goes on as events come, until Ctrl-C; JSON is one object a line then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    snapferry events\n  \
    snapferry events --minutes 1440 --source nightly\n  \
    snapferry events --follow --json")]
pub(crate) struct Events {
    /// Go on, and tell events as they come
    #[arg(long)]
    follow: bool,
    /// How far to look back
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=20_160))]
    minutes: u32,
    /// Only those of the cluster, instance or snapshot of this name
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::clusters))]
    source: Option<String>,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    format: ListFormat,
}

impl Run for Events {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let api = Api::open(&self.remote)?;
        if self.follow {
            run(async {
                tokio::select! {
                    ended = self.follow(&api) => ended,
                    _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted { again: None }),
                }
            })?;
        } else {
            let rows = run(self.look(&api, self.minutes))?;
            print(&match self.format {
                ListFormat::Json => lines_of_json(rows.into_iter()),
                ListFormat::Text => table(&HEAD, rows.iter().map(cells)),
            })?;
        }
        Ok(Outcome::Done)
    }
}

const HEAD: [&str; 4] = ["DATE", "SOURCE", "TYPE", "MESSAGE"];

fn cells(event: &Value) -> Vec<String> {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    vec![
        text("Date").to_owned(),
        text("SourceIdentifier").to_owned(),
        text("SourceType").to_owned(),
        text("Message").to_owned(),
    ]
}

impl Events {
    async fn look(&self, api: &Api, minutes: u32) -> Result<Vec<Value>, Failure> {
        let asked = Map::from_iter([("Duration".to_owned(), json!(minutes))]);
        let mut rows = api.list(api.region(), "DescribeEvents", &asked).await?;
        if let Some(source) = &self.source {
            rows.retain(|row| row["SourceIdentifier"].as_str() == Some(source));
        }
        Ok(rows)
    }

    async fn follow(&self, api: &Api) -> Result<(), Failure> {
        let mut told: HashSet<String> = HashSet::new();
        let (mut minutes, mut heard) = (self.minutes, Instant::now());
        loop {
            match self.look(api, minutes).await {
                Ok(rows) => {
                    heard = Instant::now();
                    let now: Vec<String> = rows.iter().map(Value::to_string).collect();
                    for (row, text) in rows.iter().zip(&now) {
                        if !told.contains(text) {
                            print(&self.line(row, text))?;
                        }
                    }
                    told = now.into_iter().collect();
                    // Longer after a time without an answer.
                    minutes = FOLLOWED_MINUTES;
                }
                Err(Failure::Api(error)) if error.is_passing() && heard.elapsed() < SILENCE_MAX => {
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    fn line(&self, row: &Value, text: &str) -> String {
        match self.format {
            ListFormat::Json => format!("{text}\n"),
            ListFormat::Text => {
                let table = table(&[""; 4], std::iter::once(cells(row)));
                table
                    .lines()
                    .skip(1)
                    .map(|line| format!("{line}\n"))
                    .collect()
            }
        }
    }
}
