//! Clusters with their members.
use api::Api;
use maud::{Markup, html};
use serde_json::json;

use crate::console::{
    format::status,
    refusal::Refusal,
    shapes::{Cluster, Clusters},
    visit::Visit,
};

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let asked = json!({ "Marker": visit.asked("marker") });
    let page: Clusters = visit.ask(Api::Rds, "DescribeDBClusters", asked).await?;
    Ok(html! {
        h1 { "Clusters" }
        @if page.clusters.is_empty() {
            p { "There are no clusters in this region." }
        } @else {
            div class="scroll" tabindex="0" role="region" aria-label="Clusters" {
                table {
                    thead { tr {
                        th scope="col" { "Cluster" }
                        th scope="col" { "Status" }
                        th scope="col" { "Engine" }
                        th scope="col" { "Endpoint" }
                        th scope="col" { "Members" }
                        th scope="col" { "Key" }
                    } }
                    tbody { @for cluster in &page.clusters { (line(visit, cluster)) } }
                }
            }
        }
        @if let Some(next) = &page.marker {
            p { a href=(visit.link_with("clusters", &[("marker", next)])) { "More clusters" } }
        }
    })
}

fn line(visit: &Visit<'_>, cluster: &Cluster) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(visit.link_with("cluster", &[("id", &cluster.id)])) { (cluster.id) } }
            td {
                (status(&cluster.status))
                @if let Some(percent) = &cluster.percent_progress { " " (percent) " %" }
            }
            td { (cluster.engine) " " (cluster.engine_version) }
            td class="mono" { (endpoint(cluster.endpoint.as_deref(), cluster.port)) }
            td { (members(cluster)) }
            td { (key(cluster.kms_key_id.as_deref())) }
        }
    }
}

/// `address:port`.
pub(super) fn endpoint(address: Option<&str>, port: Option<u16>) -> String {
    match (address, port) {
        (Some(address), Some(port)) => format!("{address}:{port}"),
        _ => "none yet".to_owned(),
    }
}

/// The servers of a cluster, the writer marked.
pub(super) fn members(cluster: &Cluster) -> Markup {
    html! {
        @if cluster.members.is_empty() { "none" }
        ul class="plain" {
            @for member in &cluster.members {
                li {
                    (member.id)
                    span class="soft" { @if member.is_cluster_writer { " writer" } @else { " reader, tier " (member.promotion_tier) } }
                }
            }
        }
    }
}

/// The key that something is encrypted under, in short.
pub(super) fn key(arn: Option<&str>) -> Markup {
    html! {
        @match arn {
            Some(arn) => span class="mono" title=(arn) { (arn.rsplit('/').next().unwrap_or(arn)) },
            None => span class="soft" { "not encrypted" },
        }
    }
}
