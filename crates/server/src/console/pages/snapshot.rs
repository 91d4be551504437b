//! One snapshot: what it is of, where its bytes come from, under which key it lies.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::json;

use super::{cluster::tags, clusters::key};
use crate::console::{
    format::{moment, status},
    refusal::Refusal,
    shapes::{Snapshot, Snapshots},
    visit::Visit,
};

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let snapshot = named(visit, visit.asked("id")).await?;
    Ok(html! {
        h1 { (snapshot.id) }
        (facts(visit, &snapshot))
        h2 { "Tags" }
        (tags(&snapshot.tag_list))
    })
}

/// The snapshot of a name, or of another account's by its ARN.
///
/// # Errors
/// None is named, or none is there.
pub(super) async fn named(visit: &Visit<'_>, id: Option<&str>) -> Result<Snapshot, Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "No snapshot is named.");
    let asked = json!({ "DBClusterSnapshotIdentifier": id.ok_or_else(missing)? });
    let action = "DescribeDBClusterSnapshots";
    let mut page: Snapshots = visit.ask(Api::Rds, action, asked).await?;
    page.snapshots.pop().ok_or_else(missing)
}

fn facts(visit: &Visit<'_>, snapshot: &Snapshot) -> Markup {
    let cluster = &snapshot.cluster;
    html! {
        dl {
            dt { "Status" }
            dd {
                (status(&snapshot.status))
                @if !snapshot.is_good() { " " (snapshot.percent_progress) " %" }
            }
            dt { "Of cluster" }
            dd {
                (cluster) " "
                a href=(visit.link_with("snapshots", &[("cluster", cluster)])) { "all its snapshots" }
            }
            dt { "Type" } dd { (snapshot.snapshot_type) }
            dt { "Taken" } dd { (moment(&snapshot.snapshot_create_time)) }
            dt { "Engine" } dd { (snapshot.engine) " " (snapshot.engine_version) }
            dt { "Key" } dd { (key(snapshot.kms_key_id.as_deref())) }
            @if let Some(source) = &snapshot.source_arn {
                dt { "Copied from" } dd class="mono" { (source) }
            }
            dt { "ARN" } dd class="mono" { (snapshot.arn) }
        }
    }
}
