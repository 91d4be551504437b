//! The audit trail: what the account's callers changed, and what was denied.
use api::Api;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::console::{
    format::{Standing, moment_of, state},
    refusal::Refusal,
    shapes::{Trail, TrailEvent},
    visit::Visit,
};

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let name = visit.asked("name");
    let attributes =
        name.map(|name| json!([{ "AttributeKey": "ResourceName", "AttributeValue": name }]));
    let asked = json!({ "LookupAttributes": attributes, "NextToken": visit.asked("next") });
    let page: Trail = visit.ask(Api::CloudTrail, "LookupEvents", asked).await?;
    Ok(html! {
        h1 { "Audit" }
        form method="get" action=(visit.link("audit")) {
            label for="name" { "Name of what was changed" }
            input id="name" name="name" value=(name.unwrap_or_default());
            button { "Find" }
        }
        @if page.events.is_empty() {
            p { "There is no record here." }
        } @else {
            (table(visit, &page.events))
        }
        @if let Some(next) = &page.next_token {
            p { a href=(visit.link_with("audit", &[("name", name.unwrap_or_default()), ("next", next)])) rel="next" { "Older ones" } }
        }
    })
}

fn table(visit: &Visit<'_>, events: &[TrailEvent]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Audit" {
            table {
                thead { tr {
                    th scope="col" { "When" }
                    th scope="col" { "What" }
                    th scope="col" { "Of what" }
                    th scope="col" { "Outcome" }
                    th scope="col" { "Who" }
                    th scope="col" { "From" }
                } }
                tbody { @for event in events { (row(visit, event)) } }
            }
        }
    }
}

fn row(visit: &Visit<'_>, event: &TrailEvent) -> Markup {
    let record: Value = serde_json::from_str(&event.cloud_trail_event).unwrap_or_default();
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    html! {
        tr {
            td { (moment_of(event.event_time)) }
            th scope="row" { (event.event_name) }
            td {
                ul class="plain" {
                    @for resource in &event.resources {
                        li class="mono" { a href=(visit.link_with("audit", &[("name", &resource.resource_name)])) { (resource.resource_name) } }
                    }
                }
            }
            td {
                @match record["errorCode"].as_str() {
                    None => (state(Standing::Good, "done")),
                    Some(code) => (state(Standing::Bad, code)),
                }
            }
            td { (event.username) " " span class="mono" { (event.access_key_id.as_deref().unwrap_or_default()) } }
            td class="mono" { (text("sourceIPAddress")) }
        }
    }
}
