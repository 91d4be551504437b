//! The verbs about the nodes that share a catalog, and about moving a catalog.
//!
//! It does not know whether a node runs: each says so in the catalog.
use std::time::Duration;

use catalog::{
    CatalogExt,
    copy::Copied,
    nodes::{self, NodeState},
};
use model::limits;
use serde_json::json;
use service::nodes::forget::{self, Forgotten, ItsClusters};

use crate::{
    commands::{
        cli::{Format, ListFormat, NodeVerb, Shared},
        failure::Failure,
        output::{lines_of_json, print, run, table},
        progress_bar::counted,
    },
    deployment::catalogs::{self, End},
};

/// `snapferry node ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn node(verb: NodeVerb) -> Result<(), Failure> {
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
            let listed = run(async move { Ok(catalog.read(nodes::list).await?) })?;
            print(&shown_nodes(&listed, format))
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

/// `snapferry catalog copy`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn copy(from: &End, to: &End, format: ListFormat) -> Result<(), Failure> {
    let copied = run(async move { Ok(catalogs::copy(from, to).await?) })?;
    print(&shown_copy(&copied, format))
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

fn shown_nodes(listed: &[nodes::Listed], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &[
                "NAME", "STATE", "SILENT", "CLUSTERS", "JOBS", "VERSION", "STARTED", "ENDPOINT",
            ],
            listed.iter().map(|one| {
                vec![
                    one.node.name.clone(),
                    state_of(one).to_owned(),
                    format!("{} s", one.silent.as_secs()),
                    one.clusters.to_string(),
                    one.leases.to_string(),
                    one.node.build.clone(),
                    one.node.started_at.to_rfc3339_secs(),
                    one.node.endpoint.clone(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(listed.iter().map(|one| {
            json!({
                "name": one.node.name,
                "state": state_of(one),
                "silent_millis": u64::try_from(one.silent.as_millis()).unwrap_or(u64::MAX),
                "clusters": one.clusters,
                "jobs": one.leases,
                "version": one.node.build,
                "started_at": one.node.started_at.to_rfc3339_secs(),
                "endpoint": one.node.endpoint,
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

fn shown_copy(copied: &[Copied], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &["TABLE", "ROWS", "CHECKSUM"],
            copied.iter().map(|one| {
                vec![
                    one.table.to_owned(),
                    one.rows.to_string(),
                    one.checksum.clone(),
                ]
            }),
        ),
        ListFormat::Json => {
            lines_of_json(copied.iter().map(
                |one| json!({ "table": one.table, "rows": one.rows, "checksum": one.checksum }),
            ))
        }
    }
}
