//! Snapshots, a hundred a page, by name.
use api::Api;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::clusters::key;
use crate::console::{
    format::{moment, status},
    refusal::Refusal,
    shapes::{Snapshot, Snapshots},
    visit::Visit,
};

const ROWS: usize = 100;
/// What can be asked for, with its name in the form.
const TYPES: [(&str, &str); 5] = [
    ("", "my own"),
    ("manual", "manual"),
    ("automated", "automated"),
    ("shared", "shared with me"),
    ("public", "public"),
];

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let form = filters(visit);
    let asked = Snapshots::asked(visit);
    let action = "DescribeDBClusterSnapshots";
    let page: Snapshots = match visit.ask(Api::Rds, action, asked).await {
        Ok(page) => page,
        Err(refusal) => return Err(refusal.with_form(form)),
    };
    Ok(html! {
        (form)
        @if page.snapshots.is_empty() {
            p { "No snapshot is like that." }
        } @else {
            (table(visit, &page.snapshots))
        }
        nav class="row" aria-label="Pages of the list" {
            @if visit.asked("marker").is_some() {
                a href=(list(visit, "")) { "First page" }
            }
            @if let Some(next) = &page.marker {
                a href=(list(visit, next)) rel="next" { "Next page" }
            }
        }
    })
}

impl Snapshots {
    /// What the address asks for, in the API's words.
    fn asked(visit: &Visit<'_>) -> Value {
        let filters: Vec<Value> = [
            ("db-cluster-id", "cluster"),
            ("db-cluster-snapshot-id", "name"),
        ]
        .into_iter()
        .filter_map(|(filter, field)| {
            let value = visit.asked(field)?.trim();
            Some(json!({ "Name": filter, "Values": [value] }))
        })
        .collect();
        json!({
            "SnapshotType": visit.asked("type"),
            "Filters": filters,
            "MaxRecords": ROWS,
            "Marker": visit.asked("marker"),
        })
    }
}

/// The address of the list with the same filters.
fn list(visit: &Visit<'_>, marker: &str) -> String {
    let field = |name| visit.asked(name).unwrap_or_default();
    let parameters = [
        ("cluster", field("cluster")),
        ("name", field("name")),
        ("type", field("type")),
        ("marker", marker),
    ];
    visit.link_with("snapshots", &parameters)
}

fn filters(visit: &Visit<'_>) -> Markup {
    let field = |name| visit.asked(name).unwrap_or_default();
    html! {
        h1 { "Snapshots" }
        form method="get" class="row" role="search" {
            label { "Name" input type="search" name="name" value=(field("name")) spellcheck="false" data-search; }
            label { "Of cluster" input name="cluster" value=(field("cluster")) spellcheck="false"; }
            label { "Which"
                select name="type" {
                    @for (value, shown) in TYPES {
                        option value=(value) selected[value == field("type")] { (shown) }
                    }
                }
            }
            button { "Show" }
        }
    }
}

fn table(visit: &Visit<'_>, snapshots: &[Snapshot]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Snapshots" {
            table {
                thead { tr {
                    th scope="col" { "Snapshot" }
                    th scope="col" { "Of cluster" }
                    th scope="col" { "Status" }
                    th scope="col" { "Type" }
                    th scope="col" { "Created" }
                    th scope="col" { "Engine" }
                    th scope="col" { "Key" }
                } }
                tbody { @for snapshot in snapshots { (line(visit, snapshot)) } }
            }
        }
    }
}

fn line(visit: &Visit<'_>, snapshot: &Snapshot) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(visit.link_with("snapshot", &[("id", &snapshot.id)])) { (snapshot.id) } }
            td { (snapshot.cluster) }
            td {
                (status(&snapshot.status))
                @if !snapshot.is_good() { " " (snapshot.percent_progress) " %" }
            }
            td { (snapshot.snapshot_type) }
            td { (moment(&snapshot.snapshot_create_time)) }
            td { (snapshot.engine) " " (snapshot.engine_version) }
            td { (key(snapshot.kms_key_id.as_deref())) }
        }
    }
}
