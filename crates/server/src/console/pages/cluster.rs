//! One cluster: how to reach it, its members, how far back it can be brought.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::json;

use super::clusters::{endpoint, key, members};
use crate::console::{
    format::{moment, status},
    refusal::Refusal,
    shapes::{Cluster, Clusters, Tag},
    visit::Visit,
};

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let cluster = named(visit, visit.asked("id")).await?;
    Ok(html! {
        h1 { (cluster.id) }
        (facts(&cluster))
        h2 { "Members" }
        (members(&cluster))
        h2 { "Backups" }
        p class="row" {
            a class="button" href=(visit.link_with("take", &[("id", &cluster.id)])) { "Take a snapshot" }
            a href=(visit.link_with("snapshots", &[("cluster", &cluster.id)])) { "Its snapshots" }
        }
        h2 { "Tags" }
        (tags(&cluster.tag_list))
    })
}

/// The cluster of a name.
///
/// # Errors
/// None is named, or none is there.
pub(super) async fn named(visit: &Visit<'_>, id: Option<&str>) -> Result<Cluster, Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "No cluster is named.");
    let asked = json!({ "DBClusterIdentifier": id.ok_or_else(missing)? });
    let mut page: Clusters = visit.ask(Api::Rds, "DescribeDBClusters", asked).await?;
    page.clusters.pop().ok_or_else(missing)
}

fn facts(cluster: &Cluster) -> Markup {
    let (reader, port) = (cluster.reader_endpoint.as_deref(), cluster.port);
    html! {
        dl {
            dt { "Status" } dd { (status(&cluster.status)) }
            dt { "Engine" } dd { (cluster.engine) " " (cluster.engine_version) }
            dt { "Endpoint" } dd class="mono" { (endpoint(cluster.endpoint.as_deref(), port)) }
            @if reader.is_some() && reader != cluster.endpoint.as_deref() {
                dt { "Reader endpoint" } dd class="mono" { (endpoint(reader, port)) }
            }
            dt { "Connect with" } dd class="mono" { "snapferry cluster connect " (cluster.id) }
            dt { "Master user" } dd class="mono" { (cluster.master_username) }
            @if let Some(database) = &cluster.database_name {
                dt { "Database" } dd class="mono" { (database) }
            }
            dt { "Can be brought back" } dd { (window(cluster)) }
            dt { "Backups are kept" } dd { (cluster.backup_retention_period) " days" }
            dt { "Key" } dd { (key(cluster.kms_key_id.as_deref())) }
            dt { "Created" } dd { (moment(&cluster.cluster_create_time)) }
            dt { "Deletion protection" } dd { (if cluster.deletion_protection { "on" } else { "off" }) }
            dt { "ARN" } dd class="mono" { (cluster.arn) }
            dt { "Resource ID" } dd class="mono" { (cluster.db_cluster_resource_id) }
        }
    }
}

fn window(cluster: &Cluster) -> Markup {
    let (earliest, latest) = (
        &cluster.earliest_restorable_time,
        &cluster.latest_restorable_time,
    );
    html! {
        @match (earliest, latest) {
            (Some(earliest), Some(latest)) => { "from " (moment(earliest)) " to " (moment(latest)) }
            _ => "to its snapshots only",
        }
    }
}

/// A list of tags.
pub(super) fn tags(tags: &[Tag]) -> Markup {
    html! {
        @if tags.is_empty() { p class="soft" { "none" } }
        ul class="plain" {
            @for tag in tags {
                li { span class="mono" { (tag.key) } " = " span class="mono" { (tag.value) } }
            }
        }
    }
}
