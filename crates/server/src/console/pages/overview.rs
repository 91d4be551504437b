//! Is everything backed up? The age of the last good snapshot of each cluster, and of its copy in
//! another region.
use std::time::Duration;

use api::Api;
use maud::{Markup, html};
use model::{Region, Timestamp};
use serde_json::json;

use super::backups::{self, Newest};
use crate::console::{
    format::{Standing, age, freshness, moment, state, status},
    refusal::Refusal,
    shapes::{Cluster, Clusters, Snapshot},
    visit::{Visit, with_query},
};

/// What is known of a cluster's backups.
struct Row {
    cluster: Cluster,
    here: Newest,
    /// The copy whose bytes are the newest, and where it lies.
    copy: Option<(Region, Snapshot)>,
    /// Whether all copies there are were looked at.
    all_copies: bool,
}

impl Row {
    /// The latest moment that the cluster can be brought back to.
    fn back_to(&self) -> Option<Timestamp> {
        let taken = self.here.of(&self.cluster).and_then(Snapshot::taken_at);
        let latest = self.cluster.latest_restorable_time.as_deref();
        taken.max(latest.and_then(Timestamp::parse))
    }

    fn standing(&self, now: Timestamp) -> Standing {
        match self.back_to() {
            Some(at) => freshness(now.since(at)),
            None if self.here.all => Standing::Bad,
            None => Standing::Warning,
        }
    }
}

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let asked = json!({ "Marker": visit.asked("marker") });
    let page: Clusters = visit.ask(Api::Rds, "DescribeDBClusters", asked).await?;
    let next = page.marker;
    let rows = rows(visit, page.clusters).await?;
    let now = visit.now();
    Ok(html! {
        h1 { "Is everything backed up?" }
        (verdict(&rows, now))
        @if !rows.is_empty() { (table(visit, &rows, now)) }
        @if let Some(next) = &next {
            p { a href=(visit.link_with("", &[("marker", next)])) { "More clusters" } }
        }
    })
}

async fn rows(visit: &Visit<'_>, clusters: Vec<Cluster>) -> Result<Vec<Row>, Refusal> {
    let mut copies = Vec::new();
    if !clusters.is_empty() {
        for region in backups::other_regions(visit).await? {
            let there = backups::elsewhere(visit, &region, &clusters).await?;
            copies.push((region, there));
        }
    }
    let all_copies = copies.iter().all(|(_, there)| there.all);
    let mut rows = Vec::with_capacity(clusters.len());
    for cluster in clusters {
        let here = backups::of_cluster(visit, &cluster).await?;
        let found = copies
            .iter()
            .filter_map(|(region, there)| Some((region.clone(), there.of(&cluster)?.clone())));
        // A copy has its source's time: that of the bytes.
        let copy = found.max_by_key(|(_, copy)| copy.taken_at());
        rows.push(Row {
            cluster,
            here,
            copy,
            all_copies,
        });
    }
    Ok(rows)
}

/// One sentence.
fn verdict(rows: &[Row], now: Timestamp) -> Markup {
    let count = |wanted: Standing| {
        rows.iter()
            .filter(|row| row.standing(now) == wanted)
            .count()
    };
    let (good, late) = (count(Standing::Good), count(Standing::Warning));
    html! {
        p class="verdict" {
            @if rows.is_empty() {
                "There are no clusters in this region."
            } @else if good == rows.len() {
                (state(Standing::Good, "Yes")) ": every cluster has a good backup of the last day."
            } @else if good + late == rows.len() {
                (state(Standing::Warning, "Nearly")) ": the last good backup of " (late) " of " (rows.len()) " clusters is older than a day."
            } @else {
                (state(Standing::Bad, "No")) ": " (rows.len() - good - late) " of " (rows.len()) " clusters have no good backup of the last two days."
            }
        }
    }
}

fn table(visit: &Visit<'_>, rows: &[Row], now: Timestamp) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Clusters and their backups" {
            table {
                thead { tr {
                    th scope="col" { "Cluster" }
                    th scope="col" { "Status" }
                    th scope="col" { "Can be brought back to" }
                    th scope="col" { "Last good snapshot" }
                    th scope="col" { "Its copy in another region" }
                } }
                tbody { @for row in rows { (line(visit, row, now)) } }
            }
        }
    }
}

fn line(visit: &Visit<'_>, row: &Row, now: Timestamp) -> Markup {
    let id = &row.cluster.id;
    let since = |at: Timestamp| now.since(at);
    html! {
        tr {
            th scope="row" { a href=(visit.link_with("cluster", &[("id", id)])) { (id) } }
            td { (status(&row.cluster.status)) }
            td {
                @match row.back_to() {
                    Some(at) => (ago(since(at))),
                    None if row.here.all => (state(Standing::Bad, "never")),
                    None => (state(Standing::Warning, "not known")),
                }
            }
            td {
                @if let Some(snapshot) = row.here.of(&row.cluster) {
                    a href=(visit.link_with("snapshot", &[("id", &snapshot.id)])) { (snapshot.id) }
                    div class="soft" { (moment(&snapshot.snapshot_create_time)) }
                } @else { "none" }
                @if !row.here.all {
                    div class="soft" { "There are more manual ones than were looked at." }
                }
            }
            td {
                @match &row.copy {
                    Some((region, copy)) => {
                        a href=(with_query(visit.link_in(region, "snapshot"), &[("id", &copy.id)])) { (copy.id) }
                        " in " (region)
                        @if let Some(at) = copy.taken_at() { div { (ago(since(at))) } }
                    }
                    None if row.all_copies => (state(Standing::Off, "none")),
                    None => (state(Standing::Off, "none among those that were looked at")),
                }
            }
        }
    }
}

fn ago(past: Duration) -> Markup {
    state(freshness(past), &format!("{} ago", age(past)))
}
