//! Drills: plans of restore tests, and what each test found.
use api::Api;
use maud::{Markup, html};
use model::{
    Timestamp,
    schedule::{Schedule, Zone},
};
use serde_json::{Map, Value, json};

use super::{members::text, plans::maybe};
use crate::console::{
    format::{Standing, moment, state, status, timestamp},
    refusal::Refusal,
    shapes::backup::{Drills, TestingPlan, TestingPlans},
    visit::Visit,
};

/// Plans and drills of a page. An account has at most 100 such plans.
const ROWS: usize = 100;

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let asked = json!({ "MaxResults": ROWS });
    let plans: TestingPlans = visit
        .ask(Api::Backup, "ListRestoreTestingPlans", asked)
        .await?;
    let found = of_plan(visit, None, visit.asked("marker")).await?;
    let newest = visit.asked("marker").is_none();
    Ok(html! {
        h1 { "Drills" }
        p class="soft" { "A drill restores a recovery point into a cluster of its own, reads it, and removes it again." }
        @if newest {
            h2 { "Plans" }
            @if plans.plans.is_empty() {
                p { "Nothing is tested in this region. " code { "aws backup create-restore-testing-plan" } " makes a plan." }
            } @else { (plan_table(visit, &plans.plans, &found)) }
            @if plans.next_token.is_some() { p class="soft" { "There are more than are shown." } }
        }
        h2 { "What they found" }
        (table(visit, &found.drills))
        @if let Some(next) = &found.marker {
            p { a href=(visit.link_with("drills", &[("marker", next)])) rel="next" { "Older ones" } }
        }
    })
}

/// The newest drills, of one plan or of all.
///
/// # Errors
/// The API's.
pub(super) async fn of_plan(
    visit: &Visit<'_>,
    plan: Option<&str>,
    marker: Option<&str>,
) -> Result<Drills, Refusal> {
    let asked = json!({ "RestoreTestingPlanName": plan, "MaxRecords": ROWS, "Marker": marker });
    visit.ask(Api::Snapferry, "DescribeDrills", asked).await
}

/// When a plan is due next.
pub(super) fn next(plan: &TestingPlan, now: Timestamp) -> Markup {
    let due = || {
        let schedule = Schedule::parse(&plan.schedule).ok()?;
        let zone = Zone::parse(&plan.time_zone).ok()?;
        schedule.next(&zone, timestamp(plan.creation_time), now)
    };
    match due() {
        Some(at) => moment(&at.to_rfc3339_secs()),
        None => state(Standing::Off, "never"),
    }
}

fn plan_table(visit: &Visit<'_>, plans: &[TestingPlan], found: &Drills) -> Markup {
    let last = |plan: &TestingPlan| {
        let mut of_plan = found.drills.iter();
        of_plan.find(|drill| text(drill, "RestoreTestingPlanName") == plan.name)
    };
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Restore testing plans" {
            table {
                thead { tr {
                    th scope="col" { "Plan" }
                    th scope="col" { "When" }
                    th scope="col" { "Next run" }
                    th scope="col" { "Last run" }
                    th scope="col" { "Last drill" }
                } }
                tbody {
                    @for plan in plans {
                        tr {
                            th scope="row" { a href=(visit.link_with("testing-plan", &[("id", &plan.name)])) { (plan.name) } }
                            td { span class="mono" { (plan.schedule) } div class="soft" { (plan.time_zone) } }
                            td { (next(plan, visit.now())) }
                            td { (maybe(plan.last_execution_time)) }
                            td {
                                @match last(plan) {
                                    Some(drill) => (outcome(drill)),
                                    None if found.marker.is_none() => (state(Standing::Warning, "none")),
                                    None => (state(Standing::Off, "none of those below")),
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a drill came to, or how far it is.
pub(super) fn outcome(drill: &Map<String, Value>) -> Markup {
    match text(drill, "Outcome") {
        "" => status(text(drill, "Status")),
        found => status(found),
    }
}

/// Drills, with ways to their receipts.
pub(super) fn table(visit: &Visit<'_>, drills: &[Map<String, Value>]) -> Markup {
    html! {
        @if drills.is_empty() { p { "There was no drill." } }
        @else {
            div class="scroll" tabindex="0" role="region" aria-label="Drills" {
                table {
                    thead { tr {
                        th scope="col" { "Planned" }
                        th scope="col" { "Plan" }
                        th scope="col" { "Recovery point" }
                        th scope="col" { "Outcome" }
                        th scope="col" { "Restored in" }
                        th scope="col" { "Receipt" }
                    } }
                    tbody { @for drill in drills { (line(visit, drill)) } }
                }
            }
        }
    }
}

fn line(visit: &Visit<'_>, drill: &Map<String, Value>) -> Markup {
    let id = text(drill, "DrillIdentifier");
    let plan = text(drill, "RestoreTestingPlanName");
    let point = text(drill, "RecoveryPointArn").split_once("cluster-snapshot:");
    let took = drill.get("RestoreSeconds").and_then(Value::as_f64);
    html! {
        tr {
            td { (moment(text(drill, "PlannedTime"))) }
            td { a href=(visit.link_with("testing-plan", &[("id", plan)])) { (plan) } }
            td { @if let Some((_, name)) = point { a class="mono" href=(visit.link_with("snapshot", &[("id", name)])) { (name) } } }
            td {
                (outcome(drill))
                @if text(drill, "Outcome") != "SUCCESSFUL" { div class="soft" { (text(drill, "OutcomeMessage")) } }
            }
            td { @if let Some(took) = took { (format!("{took:.1}")) " s" } }
            td { a class="mono" href=(visit.link_with("drill", &[("id", id)])) { (id) } }
        }
    }
}
