//! One snapshot: what it is of, where its bytes come from and went, who may use it, what can be done.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use model::Region;
use serde_json::{Value, json};
use wire::Parameters;

use super::{
    backups::{self, Family},
    cluster::tags,
    clusters::key,
};
use crate::console::{
    format::{moment, status},
    refusal::Refusal,
    shapes::{Attributes, Cost, Costs, Snapshot, Snapshots},
    visit::{Done, Visit, with_query},
};

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let snapshot = named(visit, visit.asked("id")).await?;
    let family = backups::family(visit, &snapshot).await?;
    let shared_with = match is_shareable(visit, &snapshot) {
        true => Some(shared_with(visit, &snapshot).await?),
        false => None,
    };
    Ok(html! {
        h1 { (snapshot.id) }
        (changes(visit, &snapshot))
        (facts(visit, &snapshot))
        h2 { "Lineage and copies" }
        (lineage(visit, &snapshot, &family))
        @if let Some(shared_with) = &shared_with {
            h2 { "Who may copy and restore it" }
            (access(visit, &snapshot, shared_with))
        }
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
    let id = id.filter(|id| !id.is_empty());
    let asked = json!({ "DBClusterSnapshotIdentifier": id.ok_or_else(missing)? });
    let action = "DescribeDBClusterSnapshots";
    let mut page: Snapshots = visit.ask(Api::Rds, action, asked).await?;
    page.snapshots.pop().ok_or_else(missing)
}

/// What a snapshot costs; none where that cannot be told now.
pub(super) async fn cost(visit: &Visit<'_>, snapshot: &Snapshot) -> Option<Cost> {
    let asked = json!({ "DBClusterSnapshotIdentifier": snapshot.id });
    let action = "DescribeDBClusterSnapshotCosts";
    let found: Result<Costs, Refusal> = visit.ask(Api::Snapferry, action, asked).await;
    found.ok()?.snapshots.pop()
}

/// `ModifyDBClusterSnapshotAttribute`.
pub(super) async fn share(visit: &Visit<'_>, fields: &Parameters) -> Result<Done, Refusal> {
    let field = |name| fields.get(name).map(str::trim).unwrap_or_default();
    let (id, add, remove) = (field("id"), field("add"), field("remove"));
    let values = |value: &str| Some([value.to_owned()]).filter(|_| !value.is_empty());
    let asked = json!({
        "DBClusterSnapshotIdentifier": id,
        "AttributeName": "restore",
        "ValuesToAdd": values(add),
        "ValuesToRemove": values(remove),
    });
    let action = "ModifyDBClusterSnapshotAttribute";
    let _: Value = visit.ask(Api::Rds, action, asked).await?;
    let notice = match (add, remove) {
        ("all", _) => format!("Every account may copy and restore {id}."),
        ("", "all") => format!("{id} is not public any more."),
        ("", account) => format!("Account {account} may not use {id} any more."),
        (account, _) => format!("Account {account} may copy and restore {id}."),
    };
    Ok(Done {
        next: visit.link_with("snapshot", &[("id", id)]),
        notice,
    })
}

fn is_shareable(visit: &Visit<'_>, snapshot: &Snapshot) -> bool {
    snapshot.is_of(visit.account()) && snapshot.snapshot_type == "manual"
}

async fn shared_with(visit: &Visit<'_>, snapshot: &Snapshot) -> Result<Vec<String>, Refusal> {
    let asked = json!({ "DBClusterSnapshotIdentifier": snapshot.id });
    let action = "DescribeDBClusterSnapshotAttributes";
    let found: Attributes = visit.ask(Api::Rds, action, asked).await?;
    let attributes = found.result.attributes.into_iter();
    Ok(attributes
        .flat_map(|attribute| attribute.attribute_values)
        .collect())
}

/// The ways to what can be done with it.
fn changes(visit: &Visit<'_>, snapshot: &Snapshot) -> Markup {
    let way = |page: &str, name: &str| {
        html! { a class="button" href=(visit.link_with(page, &[("id", &snapshot.id)])) { (name) } }
    };
    html! {
        p class="row" {
            @if snapshot.is_good() {
                (way("restore", "Restore"))
                (way("copy", "Copy"))
            }
            @if is_shareable(visit, snapshot) && snapshot.is_good() { (way("delete", "Delete")) }
            @if snapshot.status == "copying" { (way("jobs", "Watch or cancel")) }
            @if snapshot.status == "creating" { (way("jobs", "Watch")) }
        }
    }
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
            dt { "Size" } dd { "up to " (snapshot.allocated_storage) " GiB" }
            dt { "Key" } dd { (key(snapshot.kms_key_id.as_deref())) }
            dt { "ARN" } dd class="mono" { (snapshot.arn) }
        }
    }
}

fn lineage(visit: &Visit<'_>, snapshot: &Snapshot, family: &Family) -> Markup {
    let page =
        |region: &Region, id: &str| with_query(visit.link_in(region, "snapshot"), &[("id", id)]);
    html! {
        ul class="tree" {
            li {
                @match &snapshot.source_arn {
                    Some(source) => { "Copied from " (source_of(visit, source)) }
                    None => { "Taken of the cluster " (snapshot.cluster) }
                }
                ul {
                    li {
                        strong { (snapshot.id) }
                        @if !family.copies.is_empty() {
                            ul {
                                @for (region, copy) in &family.copies {
                                    li {
                                        a href=(page(region, &copy.id)) { (copy.id) }
                                        " in " (region) " " (status(&copy.status)) " " (key(copy.kms_key_id.as_deref()))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if family.copies.is_empty() { p class="soft" { "No copy of it in this account was found." } }
        @if !family.all { p class="soft" { "There are more snapshots of this cluster than were looked at." } }
    }
}

/// A source, as a link where it is this account's.
fn source_of(visit: &Visit<'_>, arn: &str) -> Markup {
    let parts: Vec<&str> = arn.splitn(7, ':').collect();
    let own = match parts.as_slice() {
        [_, _, _, region, account, _, name] if *account == visit.account().as_str() => {
            let region: Option<Region> = region.parse().ok();
            region.map(|region| with_query(visit.link_in(&region, "snapshot"), &[("id", name)]))
        }
        _ => None,
    };
    html! {
        @match own {
            Some(page) => a class="mono" href=(page) { (arn) },
            None => span class="mono" { (arn) },
        }
    }
}

fn access(visit: &Visit<'_>, snapshot: &Snapshot, shared_with: &[String]) -> Markup {
    let form = |inside: Markup| {
        html! {
            form method="post" class="row" {
                (visit.token())
                input type="hidden" name="id" value=(snapshot.id);
                (inside)
            }
        }
    };
    html! {
        @if shared_with.is_empty() { p { "This account alone." } }
        @for account in shared_with {
            (form(html! {
                span { @if account == "all" { strong { "Every account: it is public" } } @else { "Account " span class="mono" { (account) } } }
                button name="remove" value=(account) { "Take it back" span class="hidden" { " from " (account) } }
            }))
        }
        (form(html! {
            label { "Share with account"
                input name="add" required pattern="[0-9]{12}|all" title="twelve digits, or all" spellcheck="false" autocomplete="off";
            }
            button { "Share" }
        }))
        @if snapshot.kms_key_id.is_some() {
            p class="soft" { "The other account also needs the key: its policy has to let it." }
        }
    }
}
