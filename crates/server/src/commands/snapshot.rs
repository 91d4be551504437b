//! The verbs about DB cluster snapshots, over the API of a server anywhere.
//!
//! It does not know where the server is.
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{
    client::{Api, ApiError, Remote},
    commands::{
        arguments::{Format, ListFormat},
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{lines_of_json, print, run, table},
        progress_bar::{Bar, of_percent},
    },
};

/// Between two looks at a snapshot that is being made.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Between two lines where nobody sees a bar.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// For how long a server may be away while it is waited for: it may be upgraded.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// List, copy and wait for DB cluster snapshots, over the API
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry snapshot list --cluster orders\n  \
    snapferry snapshot copy nightly nightly-eu --to eu-west-1\n  \
    snapferry snapshot wait nightly"
)]
pub(crate) struct Snapshot {
    #[command(subcommand)]
    verb: SnapshotVerb,
}

/// `snapferry snapshot ...`.
#[derive(Debug, Subcommand)]
enum SnapshotVerb {
    /// List the snapshots of a region, newest first
    #[command(after_help = "Examples:\n  \
        snapferry snapshot list\n  \
        snapferry snapshot list --cluster orders --region eu-west-1 --format json")]
    List {
        #[command(flatten)]
        remote: Remote,
        /// Only those of this cluster
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
        /// Also those that other accounts share with this one
        #[arg(long)]
        shared: bool,
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "FORMAT")]
        format: ListFormat,
    },
    /// Copy a snapshot, within a region or to another one, and wait until the copy is available
    ///
    /// Ctrl-C ends the waiting, not the copy. Deleting the copy while it is `copying` cancels it.
    #[command(after_help = "Examples:\n  \
        snapferry snapshot copy nightly nightly-kept\n  \
        snapferry snapshot copy nightly nightly-eu --to eu-west-1 --kms-key-id alias/backup\n  \
        snapferry snapshot copy arn:aws:rds:us-east-1:123456789012:cluster-snapshot:shared mine --kms-key-id alias/backup")]
    Copy {
        /// The snapshot's name, or its ARN: that of another account's shared one, or of another region's
        #[arg(value_name = "SOURCE")]
        source: String,
        /// The copy's name
        #[arg(value_name = "TARGET")]
        target: String,
        /// Region of the copy [default: the source's]
        #[arg(long, value_name = "REGION")]
        to: Option<String>,
        /// Key of the copy's region to encrypt it under: an id, ARN or alias
        #[arg(long, value_name = "KEY")]
        kms_key_id: Option<String>,
        /// Give the copy the source's tags
        #[arg(long)]
        copy_tags: bool,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Wait until a snapshot is available
    #[command(after_help = "Examples:\n  \
        snapferry snapshot wait nightly\n  \
        snapferry snapshot wait nightly --timeout 3600 --format json")]
    Wait {
        /// The snapshot's name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        waiting: Waiting,
    },
}

/// How a verb waits.
#[derive(Debug, Args)]
struct Waiting {
    /// How long to wait; 0 to wait for nothing [default: until it is done]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// How progress and the snapshot are printed: JSON is one object a line, the last one of type `result`
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
}

impl Run for Snapshot {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        match self.verb {
            SnapshotVerb::List {
                remote,
                cluster,
                shared,
                format,
            } => {
                let rows = run(list(&remote, cluster, shared))?;
                print(&shown(&rows, format))?;
            }
            SnapshotVerb::Copy {
                source,
                target,
                to,
                kms_key_id,
                copy_tags,
                remote,
                waiting,
            } => {
                let asked = Copy {
                    source,
                    target,
                    to,
                    kms_key_id,
                    copy_tags,
                };
                run(copy(&Api::open(&remote)?, asked, &waiting))?;
            }
            SnapshotVerb::Wait {
                name,
                remote,
                waiting,
            } => {
                let api = Api::open(&remote)?;
                run(wait(&api, api.region(), &name, &waiting))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn parameters<const N: usize>(all: [(&str, Value); N]) -> Map<String, Value> {
    all.into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

async fn list(
    remote: &Remote,
    cluster: Option<String>,
    shared: bool,
) -> Result<Vec<Value>, Failure> {
    let api = Api::open(remote)?;
    let asked = parameters([
        ("DBClusterIdentifier", json!(cluster)),
        ("IncludeShared", json!(shared.then_some(true))),
    ]);
    let mut rows = api
        .list(api.region(), "DescribeDBClusterSnapshots", &asked)
        .await?;
    // All moments are written alike, so that their texts are in order.
    rows.sort_by(|a, b| text(b, "SnapshotCreateTime").cmp(text(a, "SnapshotCreateTime")));
    Ok(rows)
}

fn shown(rows: &[Value], format: ListFormat) -> String {
    match format {
        ListFormat::Json => lines_of_json(rows.iter().cloned()),
        ListFormat::Text => table(
            &[
                "SNAPSHOT", "CLUSTER", "TYPE", "STATUS", "CREATED", "ENGINE", "KEY",
            ],
            rows.iter().map(|row| {
                let created = text(row, "SnapshotCreateTime");
                let key = text(row, "KmsKeyId");
                vec![
                    name_of(row).to_owned(),
                    text(row, "DBClusterIdentifier").to_owned(),
                    text(row, "SnapshotType").to_owned(),
                    status(row),
                    match created.split_once('.') {
                        Some((seconds, _)) => format!("{seconds}Z"),
                        None => created.to_owned(),
                    },
                    text(row, "Engine").to_owned(),
                    key.rsplit('/').next().unwrap_or_default().to_owned(),
                ]
            }),
        ),
    }
}

/// Its name; the whole ARN of another account's, by which alone it can be named.
fn name_of(row: &Value) -> &str {
    match text(row, "SnapshotType") {
        "shared" | "public" => text(row, "DBClusterSnapshotArn"),
        _ => text(row, "DBClusterSnapshotIdentifier"),
    }
}

fn status(row: &Value) -> String {
    match text(row, "Status") {
        "available" => "available".to_owned(),
        other => format!("{other} {} %", percent(row)),
    }
}

fn percent(row: &Value) -> u64 {
    let found = row.get("PercentProgress").and_then(Value::as_u64);
    found.unwrap_or(0)
}

/// What is to be copied, and how.
struct Copy {
    source: String,
    target: String,
    to: Option<String>,
    kms_key_id: Option<String>,
    copy_tags: bool,
}

/// The region of an ARN.
fn region_of(arn: &str) -> Option<&str> {
    let region = arn.strip_prefix("arn:")?.split(':').nth(2)?;
    (!region.is_empty()).then_some(region)
}

async fn copy(api: &Api, asked: Copy, waiting: &Waiting) -> Result<(), Failure> {
    let from = region_of(&asked.source).unwrap_or(api.region()).to_owned();
    let to = match (&asked.to, region_of(&asked.source)) {
        (Some(to), _) => to.clone(),
        // An ARN may be of another region than the one that the caller works in, and is copied into that.
        (None, Some(_)) => api.region().to_owned(),
        (None, None) => from.clone(),
    };
    let mut source = asked.source.clone();
    let mut presigned = None;
    if from != to {
        if region_of(&source).is_none() {
            let id = parameters([("DBClusterSnapshotIdentifier", json!(source))]);
            let found = api.call(&from, "DescribeDBClusterSnapshots", id).await?;
            source = text(&found["items"][0], "DBClusterSnapshotArn").to_owned();
        }
        let mut signed = vec![
            ("SourceDBClusterSnapshotIdentifier", source.as_str()),
            ("TargetDBClusterSnapshotIdentifier", asked.target.as_str()),
            ("DestinationRegion", to.as_str()),
        ];
        if let Some(key) = &asked.kms_key_id {
            signed.push(("KmsKeyId", key));
        }
        presigned = Some(api.presigned(&from, "CopyDBClusterSnapshot", &signed)?);
    }
    let made = parameters([
        ("SourceDBClusterSnapshotIdentifier", json!(source)),
        ("TargetDBClusterSnapshotIdentifier", json!(asked.target)),
        ("KmsKeyId", json!(asked.kms_key_id)),
        ("CopyTags", json!(asked.copy_tags.then_some(true))),
        ("PreSignedUrl", json!(presigned)),
    ]);
    let copy = api.call(&to, "CopyDBClusterSnapshot", made).await?;
    if waiting.format == Format::Text {
        let key = match text(&copy, "KmsKeyId") {
            "" => "unencrypted".to_owned(),
            key => format!("under {key}"),
        };
        eprintln!("copying {source} to {to}, {key}");
    }
    wait(api, &to, &asked.target, waiting).await
}

/// Waits until a snapshot is available, and prints it.
async fn wait(api: &Api, region: &str, name: &str, waiting: &Waiting) -> Result<(), Failure> {
    let again = format!("snapferry snapshot wait {name} --region {region}");
    tokio::select! {
        done = watch(api, region, name, waiting, &again) => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted { again }),
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

    #[test]
    fn a_region_is_read_of_an_arn_alone() {
        let arn = "arn:aws:rds:eu-west-1:123456789012:cluster-snapshot:x";
        assert_eq!(region_of(arn), Some("eu-west-1"));
        assert_eq!(region_of("arn:aws:rds::1:cluster-snapshot:x"), None);
        assert_eq!(region_of("rds:cluster-2026-01-01-00-00"), None);
    }

    #[test]
    fn another_accounts_snapshots_are_listed_by_arn() {
        let row = json!({
            "DBClusterSnapshotIdentifier": "x", "DBClusterSnapshotArn": "arn:x", "SnapshotType": "shared",
            "Status": "available", "SnapshotCreateTime": "2026-01-01T00:00:00.123456Z",
            "KmsKeyId": "arn:aws:kms:us-east-1:1:key/k",
        });
        let text = shown(&[row], ListFormat::Text);
        assert!(
            text.contains("\narn:x ") && text.contains("2026-01-01T00:00:00Z"),
            "{text}"
        );
        assert!(text.trim_end().ends_with(" k"), "{text}");
    }
}
