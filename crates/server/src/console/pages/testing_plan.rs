//! One restore testing plan: what it restores for a test, and what its drills found.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::json;

use super::{drills, members, plans::maybe};
use crate::console::{
    format::moment_of,
    refusal::Refusal,
    shapes::backup::{ShownTestingPlan, ShownTestingSelection, TestingPlan, TestingSelections},
    visit::Visit,
};

/// Selections that are shown, of the thirty that a plan may have.
const SELECTIONS_MAX: usize = 30;

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "No plan is named.");
    let name = visit.asked("id").ok_or_else(missing)?;
    let asked = json!({ "RestoreTestingPlanName": name });
    let found: ShownTestingPlan = visit
        .ask(Api::Backup, "GetRestoreTestingPlan", asked.clone())
        .await?;
    let listed: TestingSelections = visit
        .ask(Api::Backup, "ListRestoreTestingSelections", asked.clone())
        .await?;
    let mut selected = Vec::new();
    for one in listed.selections.iter().take(SELECTIONS_MAX) {
        let mut asked = asked.clone();
        asked["RestoreTestingSelectionName"] = json!(one.restore_testing_selection_name);
        let action = "GetRestoreTestingSelection";
        let found: ShownTestingSelection = visit.ask(Api::Backup, action, asked).await?;
        selected.push(found.selection);
    }
    let more = listed.next_token.is_some() || selected.len() < listed.selections.len();
    let drills = drills::of_plan(visit, Some(name), visit.asked("marker")).await?;
    Ok(html! {
        h1 { (found.plan.name) }
        (facts(visit, &found.plan))
        h2 { "Which recovery points" }
        (members::list(&found.plan.points, &[]))
        h2 { "Of what" }
        @if selected.is_empty() { p { "The plan selects nothing." } }
        @for one in &selected {
            h3 { (members::text(one, "RestoreTestingSelectionName")) }
            (members::list(one, &["RestoreTestingSelectionName", "RestoreTestingPlanName", "CreationTime"]))
        }
        @if more { p class="soft" { "There are more than are shown." } }
        h2 { "Drills" }
        (drills::table(visit, &drills.drills))
        @if let Some(next) = &drills.marker {
            p { a href=(visit.link_with("testing-plan", &[("id", name), ("marker", next)])) rel="next" { "Older ones" } }
        }
    })
}

fn facts(visit: &Visit<'_>, plan: &TestingPlan) -> Markup {
    html! {
        dl {
            dt { "When" } dd { span class="mono" { (plan.schedule) } " " span class="soft" { (plan.time_zone) } }
            dt { "Begins within" } dd { (plan.start_window_hours) " hours" }
            dt { "Next run" } dd { (drills::next(plan, visit.now())) }
            dt { "Last run" } dd { (maybe(plan.last_execution_time)) }
            dt { "Made" } dd { (moment_of(plan.creation_time)) }
            dt { "ARN" } dd class="mono" { (plan.arn) }
        }
    }
}
