//! The verbs about the nodes that share a catalog, and about moving a catalog.
//!
//! It does not know whether a node runs: each says so in the catalog.
use clap::{Args, Subcommand};
use std::{collections::BTreeMap, time::Duration};

use catalog::{
    CatalogError, CatalogExt, Tx, node_tasks,
    nodes::{self, NodeState},
};
use model::{Timestamp, limits};
use serde_json::json;
use service::{
    Mode,
    background::status::TaskStatus,
    nodes::forget::{self, Forgotten, ItsClusters},
};

use crate::{
    commands::{
        arguments::{Folder, Format, ListFormat, Shared},
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{attach, lines_of_json, print, run, table},
    },
    deployment::catalogs,
    units::counted,
};

/// Look at the nodes that share a catalog, drain one, or forget one
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry node list --catalog postgres://ferry@db/snapferry\n  \
    snapferry node drain node-1 --catalog postgres://ferry@db/snapferry"
)]
pub(crate) struct Node {
    #[command(subcommand)]
    verb: NodeVerb,
}

/// `snapferry node ...`.
#[derive(Debug, Subcommand)]
enum NodeVerb {
    /// List the nodes: who serves, who was not heard of, and what each holds
    #[command(after_help = "Examples:\n  \
        snapferry node list --catalog postgres://ferry@db/snapferry\n  \
        snapferry node list --catalog postgres://ferry@db/snapferry --format json")]
    List {
        #[command(flatten)]
        shared: Shared,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Show how a node's background tasks fare: when each last succeeded, why it failed, when it runs again
    ///
    /// A node tells it once a minute, and when a task begins to fail or works again.
    #[command(after_help = "Examples:\n  \
        snapferry node show\n  \
        snapferry node show node-1 --catalog postgres://ferry@db/snapferry --format json")]
    Show {
        /// The node's name, as `snapferry node list` shows it [default: all that have told]
        #[arg(value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        folder: Folder,
        /// Look into the default data folder of `snapferry serve --dev`
        #[arg(long, conflicts_with = "data")]
        dev: bool,
        #[command(flatten)]
        format: ListFormat,
    },
    /// Let a node take on no more work, and wait until it has finished what it holds
    ///
    /// It goes on answering requests and running its clusters, and takes snapshots of those. Copies and
    /// new clusters are left to the others. It serves in full again once it is restarted.
    #[command(after_help = "Examples:\n  \
        snapferry node drain node-1 --catalog postgres://ferry@db/snapferry\n  \
        snapferry node drain node-1 --wait-seconds 0 --catalog postgres://ferry@db/snapferry")]
    Drain {
        /// The node's name, as `snapferry node list` shows it
        #[arg(value_name = "NAME")]
        name: String,
        /// How long to wait until it holds no job; 0 to wait for nothing
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        wait_seconds: u64,
        #[command(flatten)]
        shared: Shared,
    },
    /// Forget a node that never comes back
    ///
    /// Refused while the node is heard of. Work that only it could do is given up, with events; copies
    /// that it had begun go on elsewhere. Clusters whose files it had are named, and stay unless
    /// --drop-clusters is given: then their records go too, and they can be restored from snapshots.
    #[command(after_help = "Examples:\n  \
        snapferry node forget node-1 --catalog postgres://ferry@db/snapferry\n  \
        snapferry node forget node-1 --drop-clusters --catalog postgres://ferry@db/snapferry")]
    Forget {
        /// The node's name, as `snapferry node list` shows it
        #[arg(value_name = "NAME")]
        name: String,
        /// Also the records of clusters whose files it had
        #[arg(long)]
        drop_clusters: bool,
        #[command(flatten)]
        shared: Shared,
        #[command(flatten)]
        format: Format,
    },
}

impl Run for Node {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        node(self.verb)?;
        Ok(Outcome::Done)
    }
}

/// `snapferry node ...`.
///
/// # Errors
/// Whatever kept it from its work.
fn node(verb: NodeVerb) -> Result<(), Failure> {
    let open = |shared: Shared| match &shared.catalog {
        Some(url) => Ok(catalogs::open_shared(url)?),
        None => Err(Failure::NoSharedCatalog),
    };
    match verb {
        NodeVerb::Forget {
            name,
            drop_clusters,
            shared,
            format,
        } => {
            let catalog = open(shared)?;
            let its_clusters = match drop_clusters {
                true => ItsClusters::Drop,
                false => ItsClusters::Keep,
            };
            let gone = run(async { Ok(forget::node(&*catalog, &name, its_clusters).await?) })?;
            print(&shown_forgotten(&name, &gone, format))
        }
        NodeVerb::List { shared, format } => {
            let catalog = open(shared)?;
            let (listed, told) = run(async move {
                let read = |tx: &mut dyn Tx| {
                    Ok::<_, CatalogError>((nodes::list(tx)?, node_tasks::list(tx)?))
                };
                Ok(catalog.read(read).await?)
            })?;
            print(&shown_nodes(&listed, &told, format))
        }
        NodeVerb::Show {
            name,
            folder,
            dev,
            format,
        } => {
            let mode = if dev { Mode::Dev } else { Mode::Closed };
            let catalog = match &folder.shared.catalog {
                Some(url) => catalogs::open_shared(url)?,
                None => catalogs::open(&attach(&folder, mode)?, None)?,
            };
            let told = run(async move { Ok(catalog.read(node_tasks::list).await?) })?;
            let mut rows = Vec::new();
            for one in told {
                if name.as_ref().is_none_or(|name| *name == one.node) {
                    rows.extend(tasks_of(&one));
                }
            }
            if rows.is_empty() {
                return Err(Failure::NoTasks(name));
            }
            print(&shown_tasks(&rows, format))
        }
        NodeVerb::Drain {
            name,
            wait_seconds,
            shared,
        } => {
            let catalog = open(shared)?;
            run(async move {
                let asked = name.clone();
                if !catalog.write(move |tx| nodes::drain(tx, &asked)).await? {
                    return Err(Failure::NoSuchNode(name));
                }
                let patience = Duration::from_secs(wait_seconds);
                if patience.is_zero()
                    || catalogs::wait_until_drained(&*catalog, &name, patience).await?
                {
                    Ok(())
                } else {
                    Err(Failure::StillBusy(name))
                }
            })
        }
    }
}

/// The word for a node: one that is silent is lost, whatever it said last.
fn state_of(one: &nodes::Listed) -> &'static str {
    match one.node.state {
        NodeState::Stopped => "stopped",
        _ if limits::NODE_SILENCE <= one.silent => "lost",
        NodeState::Draining if one.leases == 0 => "drained",
        state => state.as_str(),
    }
}

/// One task of a node, as the node told last.
struct TaskRow {
    node: String,
    task: String,
    status: TaskStatus,
}

impl TaskRow {
    fn state(&self) -> &'static str {
        match &self.status {
            TaskStatus { error: Some(_), .. } => "failing",
            TaskStatus {
                stands_by: true, ..
            } => "standby",
            TaskStatus {
                last_success: None, ..
            } => "new",
            _ => "ok",
        }
    }
}

/// The tasks of a node; none when a release tells them otherwise than this one reads.
fn tasks_of(told: &node_tasks::Told) -> Vec<TaskRow> {
    let all: BTreeMap<String, TaskStatus> = serde_json::from_str(&told.tasks).unwrap_or_default();
    all.into_iter()
        .map(|(task, status)| TaskRow {
            node: told.node.clone(),
            task,
            status,
        })
        .collect()
}

/// The names of a node's tasks that fail.
fn failing(node: &str, told: &[node_tasks::Told]) -> Vec<String> {
    let of = told.iter().filter(|one| one.node == node);
    of.flat_map(tasks_of)
        .filter(|row| row.status.error.is_some())
        .map(|row| row.task)
        .collect()
}

fn shown_tasks(rows: &[TaskRow], format: ListFormat) -> String {
    let time = |at: Option<Timestamp>| at.map(Timestamp::to_rfc3339_secs);
    match format {
        ListFormat::Text => table(
            &[
                "NODE",
                "TASK",
                "STATE",
                "LAST SUCCESS",
                "NEXT DUE",
                "LAST FAILURE",
                "ERROR",
            ],
            rows.iter().map(|row| {
                vec![
                    row.node.clone(),
                    row.task.clone(),
                    row.state().to_owned(),
                    time(row.status.last_success).unwrap_or_default(),
                    time(row.status.next_due).unwrap_or_default(),
                    time(row.status.last_failure).unwrap_or_default(),
                    row.status.error.clone().unwrap_or_default(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(rows.iter().map(|row| {
            json!({
                "node": row.node,
                "task": row.task,
                "state": row.state(),
                "last_success": time(row.status.last_success),
                "next_due": time(row.status.next_due),
                "last_failure": time(row.status.last_failure),
                "error": row.status.error,
            })
        })),
    }
}

fn shown_nodes(listed: &[nodes::Listed], told: &[node_tasks::Told], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &[
                "NAME",
                "ZONE",
                "STATE",
                "SILENT",
                "CLUSTERS",
                "JOBS",
                "VERSION",
                "STARTED",
                "ENDPOINT",
                "FAILING TASKS",
            ],
            listed.iter().map(|one| {
                vec![
                    one.node.name.clone(),
                    one.node.zone.clone().unwrap_or_default(),
                    state_of(one).to_owned(),
                    format!("{} s", one.silent.as_secs()),
                    one.clusters.to_string(),
                    one.leases.to_string(),
                    one.node.build.clone(),
                    one.node.started_at.to_rfc3339_secs(),
                    one.node.endpoint.clone(),
                    failing(&one.node.name, told).join(" "),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(listed.iter().map(|one| {
            json!({
                "name": one.node.name,
                "zone": one.node.zone,
                "state": state_of(one),
                "silent_millis": u64::try_from(one.silent.as_millis()).unwrap_or(u64::MAX),
                "clusters": one.clusters,
                "jobs": one.leases,
                "version": one.node.build,
                "started_at": one.node.started_at.to_rfc3339_secs(),
                "endpoint": one.node.endpoint,
                "failing_tasks": failing(&one.node.name, told),
            })
        })),
    }
}

fn shown_forgotten(name: &str, gone: &Forgotten, format: Format) -> String {
    if format == Format::Json {
        let value = json!({
            "name": name,
            "clusters": gone.clusters,
            "jobs_failed": gone.jobs_failed,
            "jobs_released": gone.jobs_released,
        });
        return format!("{value:#}\n");
    }
    let mut text = String::new();
    for cluster in &gone.clusters {
        text.push_str(&format!("dropped {cluster}\n"));
    }
    text.push_str(&format!(
        "forgot {name}: {} given up, {} left to others\n",
        counted(gone.jobs_failed, "job"),
        counted(gone.jobs_released, "job")
    ));
    text
}
