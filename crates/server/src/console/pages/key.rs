//! One key, and what would become unreadable without it.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::json;

use super::{backups, keys};
use crate::console::{
    format::{Standing, state, status},
    refusal::Refusal,
    shapes::{Aliases, Cluster, Clusters, Key, Snapshot},
    visit::Visit,
};

/// Snapshots that are named on the page; all that were found are counted.
const NAMED_MAX: usize = 50;

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "No key is named.");
    let key = keys::named(visit, visit.asked("id").ok_or_else(missing)?).await?;
    let names: Aliases = visit
        .ask(Api::Kms, "ListAliases", json!({ "KeyId": key.key_id }))
        .await?;
    let clusters: Clusters = visit.ask(Api::Rds, "DescribeDBClusters", json!({})).await?;
    let clusters = clusters
        .clusters
        .into_iter()
        .filter(|cluster| uses(cluster, &key));
    let clusters: Vec<Cluster> = clusters.collect();
    let (found, all) = backups::everything(visit).await?;
    let under = |snapshot: &Snapshot| snapshot.kms_key_id.as_ref() == Some(&key.arn);
    let snapshots: Vec<Snapshot> = found.into_iter().filter(under).collect();
    Ok(html! {
        h1 { "Key " span class="mono" { (key.key_id) } }
        dl {
            dt { "State" } dd { (status(&key.key_state)) }
            dt { "Names" } dd { (keys::names_of(&key, &names)) }
            dt { "For" } dd { (key.key_spec) }
            dt { "Held by" } dd { (if key.key_manager == "AWS" { "the service itself" } else { "this account" }) }
            @if !key.description.is_empty() { dt { "Description" } dd { (key.description) } }
            dt { "ARN" } dd class="mono" { (key.arn) }
        }
        h2 { "What would become unreadable without it" }
        (unreadable(visit, &clusters, &snapshots, all))
    })
}

/// Whether a cluster's files or its master user's secret are under a key.
fn uses(cluster: &Cluster, key: &Key) -> bool {
    let secret = cluster
        .master_user_secret
        .as_ref()
        .map(|secret| &secret.kms_key_id);
    [cluster.kms_key_id.as_ref(), secret].contains(&Some(&key.arn))
}

fn unreadable(
    visit: &Visit<'_>,
    clusters: &[Cluster],
    snapshots: &[Snapshot],
    all: bool,
) -> Markup {
    html! {
        p class="verdict" {
            @if clusters.is_empty() && snapshots.is_empty() && all {
                (state(Standing::Good, "Nothing")) " of this account in this region is under this key."
            } @else {
                (state(Standing::Warning, &counted(clusters.len(), "cluster"))) " and "
                (state(Standing::Warning, &counted(snapshots.len(), "snapshot"))) "."
            }
        }
        @if !all { p class="soft" { "There are more snapshots than were looked at." } }
        p class="soft" {
            "While the key is disabled they cannot be restored or copied, and such a cluster does not start again. Once the key is deleted nobody can read them. Copies in other regions are under keys of their own."
        }
        @if !clusters.is_empty() {
            h3 { "Clusters" }
            ul { @for cluster in clusters {
                li { a href=(visit.link_with("cluster", &[("id", &cluster.id)])) { (cluster.id) } }
            } }
        }
        @if !snapshots.is_empty() {
            h3 { "Snapshots" }
            ul {
                @for snapshot in snapshots.iter().take(NAMED_MAX) {
                    li { a href=(visit.link_with("snapshot", &[("id", &snapshot.id)])) { (snapshot.id) } }
                }
                @if NAMED_MAX < snapshots.len() { li { "and " (snapshots.len() - NAMED_MAX) " more" } }
            }
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
