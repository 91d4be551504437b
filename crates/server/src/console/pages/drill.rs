//! The receipt of one drill: whatever it holds.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::json;

use super::{drills::outcome, members};
use crate::console::{refusal::Refusal, shapes::backup::Drills, visit::Visit};

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "No drill is named.");
    let id = visit.asked("id").ok_or_else(missing)?;
    let asked = json!({ "DrillIdentifier": id });
    let mut found: Drills = visit.ask(Api::Snapferry, "DescribeDrills", asked).await?;
    let drill = found.drills.pop().ok_or_else(missing)?;
    let plan = members::text(&drill, "RestoreTestingPlanName");
    Ok(html! {
        h1 { "Drill " span class="mono" { (id) } }
        p class="verdict" { (outcome(&drill)) " " (members::text(&drill, "OutcomeMessage")) }
        p { "By the plan " a href=(visit.link_with("testing-plan", &[("id", plan)])) { (plan) } "." }
        (members::list(&drill, &["DrillIdentifier", "Outcome", "OutcomeMessage", "RestoreTestingPlanName"]))
        p class="soft" { code { "snapferry drill show " (id) " --json" } " prints it." }
    })
}
