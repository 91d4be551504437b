//! How the server and its vaults are, and what happened in the last day.
//!
//! The figures are those of `/metrics`, which everyone may read.
use api::Api;
use maud::{Markup, html};
use serde_json::json;

use crate::console::{
    format::{Standing, age, moment, state},
    refusal::Refusal,
    shapes::Events,
    visit::Visit,
};
use crate::units::size;

const DAY_MINUTES: u32 = 24 * 60;

/// A figure, and what makes it a bad one.
struct Figure {
    metric: &'static str,
    shown: &'static str,
    kind: Kind,
}

enum Kind {
    /// Should be none.
    NoneGood,
    /// Seconds; more than so many are bad.
    Seconds(f64),
    Bytes,
    Count,
}

const FIGURES: [Figure; 10] = [
    figure(
        "snapferry_vault_objects_damaged",
        "Damaged or missing objects that verifications met",
        Kind::NoneGood,
    ),
    figure(
        "snapferry_clusters_without_snapshot",
        "Clusters of all accounts that have no whole snapshot",
        Kind::NoneGood,
    ),
    figure(
        "snapferry_vault_objects_repaired",
        "Objects fetched again from another region",
        Kind::Count,
    ),
    figure(
        "snapferry_record_log_lag_seconds",
        "What a lost catalog would lose",
        Kind::Seconds(60.0),
    ),
    figure(
        "snapferry_log_behind_seconds",
        "What the cluster farthest behind would lose with its disk",
        Kind::Seconds(900.0),
    ),
    figure(
        "snapferry_log_gaps",
        "Gaps in clusters' logs",
        Kind::NoneGood,
    ),
    figure(
        "snapferry_log_failures",
        "Times that a cluster's log did not get to its vault",
        Kind::Count,
    ),
    figure(
        "snapferry_vault_written_bytes",
        "Written into the vaults since the start",
        Kind::Bytes,
    ),
    figure(
        "snapferry_tombstones_waiting",
        "Deleted objects that wait for their grace",
        Kind::Count,
    ),
    figure(
        "snapferry_catalog_gauges_unread",
        "Times that the catalog did not answer in two seconds",
        Kind::Count,
    ),
];

const fn figure(metric: &'static str, shown: &'static str, kind: Kind) -> Figure {
    Figure {
        metric,
        shown,
        kind,
    }
}

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let service = &visit.backend.service;
    let healthy = service.is_healthy().await;
    let text = service.scrape(false).await;
    let events: Events = visit
        .ask(
            Api::Rds,
            "DescribeEvents",
            json!({ "Duration": DAY_MINUTES }),
        )
        .await?;
    Ok(html! {
        h1 { "Health" }
        p class="verdict" {
            @if healthy { (state(Standing::Good, "The server can work")) }
            @else { (state(Standing::Bad, "The catalog does not answer")) }
        }
        h2 { "Vaults and logs" }
        dl {
            @for figure in &FIGURES {
                @if let Some(value) = value(&text, figure.metric) {
                    dt { (figure.shown) } dd { (shown(figure, value)) }
                }
            }
        }
        p class="soft" { code { "snapferry vault verify" } " looks at everything that is kept, and repairs it from other regions." }
        h2 { "Events of the last day" }
        (happened(&events))
    })
}

/// A metric's value; counters are called `_total` on the wire.
fn value(text: &str, metric: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let rest = rest.strip_prefix("_total").unwrap_or(rest);
        rest.strip_prefix(' ')?.parse().ok()
    })
}

fn shown(figure: &Figure, value: f64) -> Markup {
    let verdict =
        |good: bool, text: &str| state(if good { Standing::Good } else { Standing::Bad }, text);
    let whole = value as u64;
    match figure.kind {
        Kind::NoneGood => verdict(whole == 0, &whole.to_string()),
        Kind::Seconds(most) => {
            let time = std::time::Duration::from_secs(whole);
            verdict(value <= most, &age(time))
        }
        Kind::Bytes => html! { (size(whole)) },
        Kind::Count => html! { (whole) },
    }
}

fn happened(events: &Events) -> Markup {
    html! {
        @if events.events.is_empty() { p { "Nothing happened in this region." } }
        @else {
            div class="scroll" tabindex="0" role="region" aria-label="Events" {
                table {
                    thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Message" } } }
                    tbody {
                        @for event in events.events.iter().rev() {
                            tr {
                                td { (moment(&event.date)) }
                                td { (event.source_identifier) }
                                td { (event.message) }
                            }
                        }
                    }
                }
            }
            @if events.marker.is_some() { p class="soft" { "There were more." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# TYPE a counter\na_total 3\na_b 4\na_b{x=\"y\"} 5\nc 1.5\n";
        let found = ["a", "a_b", "c", "b"].map(|metric| value(text, metric));
        assert_eq!(found, [Some(3.0), Some(4.0), Some(1.5), None]);
    }
}
