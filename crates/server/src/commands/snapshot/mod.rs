//! The verbs about DB cluster snapshots, over the API of a server anywhere.
//!
//! It does not know where the server is.
mod copy;
mod cost;
mod diff;
mod rows;
mod show;
mod wait;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

use self::{
    copy::{Copy, copy},
    cost::Which,
    rows::{parameters, shown, text},
    wait::{Waiting, wait},
};
use crate::{
    client::{Api, Remote},
    commands::{
        arguments::{Format, ListFormat},
        completion,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{print, run},
    },
};

/// List, compare, weigh, copy and wait for DB cluster snapshots, over the API
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry snapshot list --cluster orders\n  \
    snapferry snapshot copy nightly nightly-eu --to eu-west-1\n  \
    snapferry snapshot diff nightly-1 nightly-2\n  \
    snapferry snapshot cost --tag team\n  \
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
        #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completion::clusters))]
        cluster: Option<String>,
        /// Also those that other accounts share with this one
        #[arg(long)]
        shared: bool,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Show one snapshot: where it comes from, its key and tags, and what it costs
    #[command(after_help = "Examples:\n  \
        snapferry snapshot show nightly\n  \
        snapferry snapshot show nightly --json")]
    Show {
        /// The snapshot's name, or a shared one's ARN
        #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::snapshots))]
        name: String,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: Format,
    },
    /// Tell what changed between two snapshots of a cluster, by database, relation and fork
    ///
    /// From block lists alone: no data is read. Relations are named as their files are, DATABASE/NUMBER. A
    /// vacuum and the like change blocks without changing rows; a table that was rewritten has another number, and
    /// counts as removed and added. Copies of a cluster's snapshots can be compared too, and other accounts'
    /// snapshots by their ARNs.
    #[command(after_help = "Examples:\n  \
        snapferry snapshot diff nightly-1 nightly-2\n  \
        snapferry snapshot diff nightly-1 nightly-2 --limit 1000 --json")]
    Diff {
        /// The snapshot to compare with: its name, or a shared one's ARN
        #[arg(value_name = "BASE", add = ArgValueCandidates::new(completion::snapshots))]
        base: String,
        /// The snapshot of which it is told what changed
        #[arg(value_name = "SNAPSHOT", add = ArgValueCandidates::new(completion::snapshots))]
        snapshot: String,
        /// How many relations are told at most, those that changed most
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: Format,
    },
    /// Tell what snapshots cost: bytes that they reach, that no other needs, and that deletion frees
    ///
    /// Bytes of the vault, to the byte: what is freed is freed once the sweep has been there (serve's
    /// --sweep-grace-seconds). A cluster keeps its newest snapshot's bytes until the next one is taken. Of
    /// snapshots that other accounts share only what they reach is told. Logs for points in time are not counted.
    #[command(after_help = "Examples:\n  \
        snapferry snapshot cost\n  \
        snapferry snapshot cost --cluster orders --tag team\n  \
        snapferry snapshot cost nightly --json\n  \
        snapferry snapshot cost --price 0.021")]
    Cost {
        /// One snapshot [default: all of the region]
        #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::snapshots))]
        name: Option<String>,
        /// Those of this cluster
        #[arg(long, value_name = "NAME", conflicts_with = "name", add = ArgValueCandidates::new(completion::clusters))]
        cluster: Option<String>,
        /// Sum them up by the values of this tag
        #[arg(long, value_name = "KEY")]
        tag: Option<String>,
        /// Price of a GiB and month
        #[arg(long, value_name = "PRICE")]
        price: Option<f64>,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        format: Format,
    },
    /// Copy a snapshot, within a region or to another one, and wait until the copy is available
    ///
    /// Ctrl-C ends the waiting, not the copy. Deleting the copy while it is `copying` cancels it. JSON is one
    /// object a line, the last one of type `result`.
    #[command(after_help = "Examples:\n  \
        snapferry snapshot copy nightly nightly-kept\n  \
        snapferry snapshot copy nightly nightly-eu --to eu-west-1 --kms-key-id alias/backup\n  \
        snapferry snapshot copy arn:aws:rds:us-east-1:123456789012:cluster-snapshot:shared mine --kms-key-id alias/backup")]
    Copy {
        /// The snapshot's name, or its ARN: that of another account's shared one, or of another region's
        #[arg(value_name = "SOURCE", add = ArgValueCandidates::new(completion::snapshots))]
        source: String,
        /// The copy's name
        #[arg(value_name = "TARGET")]
        target: String,
        /// Region of the copy [default: the source's]
        #[arg(long, value_name = "REGION")]
        to: Option<String>,
        /// Key of the copy's region to encrypt it under: an id, ARN or alias
        #[arg(long, value_name = "KEY", add = ArgValueCandidates::new(completion::keys))]
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
    ///
    /// JSON is one object a line, the last one of type `result`.
    #[command(after_help = "Examples:\n  \
        snapferry snapshot wait nightly\n  \
        snapferry snapshot wait nightly --timeout 3600 --format json")]
    Wait {
        /// The snapshot's name
        #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::snapshots))]
        name: String,
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        waiting: Waiting,
    },
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
            SnapshotVerb::Show {
                name,
                remote,
                format,
            } => {
                let found = run(async { show::look(&Api::open(&remote)?, &name).await })?;
                print(&show::shown(&found, format))?;
            }
            SnapshotVerb::Diff {
                base,
                snapshot,
                limit,
                remote,
                format,
            } => {
                let api = Api::open(&remote)?;
                let found = run(diff::diff(&api, &base, &snapshot, limit))?;
                print(&diff::shown(&found, format))?;
            }
            SnapshotVerb::Cost {
                name,
                cluster,
                tag,
                price,
                remote,
                format,
            } => {
                let which = Which {
                    snapshot: name,
                    cluster,
                    tag,
                };
                let found = run(async { cost::cost(&Api::open(&remote)?, which).await })?;
                print(&cost::shown(&found, price, format))?;
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
