//! Backup plans: when each runs next, and what its last run came to.
use api::Api;
use maud::{Markup, html};
use serde_json::json;

use crate::console::{
    format::{Standing, moment_of, state},
    refusal::Refusal,
    shapes::backup::{BackupJob, BackupJobs, Plan, Plans},
    visit::Visit,
};

/// Plans of a page: each is asked for by itself.
const ROWS: usize = 50;
/// Jobs that are looked at, of all plans.
const JOBS_MAX: usize = 1_000;

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let asked = json!({ "MaxResults": ROWS, "NextToken": visit.asked("next") });
    let page: Plans = visit.ask(Api::Backup, "ListBackupPlans", asked).await?;
    let mut plans = Vec::with_capacity(page.plans.len());
    for listed in &page.plans {
        plans.push(named(visit, &listed.backup_plan_id, 1).await?);
    }
    let jobs = match plans.is_empty() {
        true => Jobs::default(),
        false => jobs(visit).await?,
    };
    Ok(html! {
        h1 { "Plans" }
        @if plans.is_empty() {
            p { "There are no backup plans in this region. " code { "aws backup create-backup-plan" } " makes one, " code { "snapferry plan apply" } " a file of them." }
        } @else {
            (table(visit, &plans, &jobs))
        }
        @if let Some(next) = &page.next_token {
            p { a href=(visit.link_with("plans", &[("next", next)])) rel="next" { "Next page" } }
        }
        p { a href=(visit.link("drills")) { "Drills" } " tell whether what was backed up can be restored." }
    })
}

/// A plan by its id, with some of the times that it is due.
///
/// # Errors
/// The API's.
pub(super) async fn named(visit: &Visit<'_>, id: &str, runs: usize) -> Result<Plan, Refusal> {
    let asked = json!({ "BackupPlanId": id, "MaxScheduledRunsPreview": runs });
    visit.ask(Api::Backup, "GetBackupPlan", asked).await
}

/// Jobs of the last 30 days.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    all: Vec<BackupJob>,
    /// Whether there are older ones that were not looked at.
    pub(super) more: bool,
}

impl Jobs {
    /// Those of a plan, the newest first.
    pub(super) fn of<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a BackupJob> {
        let is_of = move |job: &&BackupJob| {
            let by = job.created_by.as_ref();
            by.is_some_and(|by| by.plan == plan.id)
        };
        self.all.iter().filter(is_of)
    }
}

/// The newest backup jobs of the account in the region.
///
/// # Errors
/// The API's.
pub(super) async fn jobs(visit: &Visit<'_>) -> Result<Jobs, Refusal> {
    let asked = json!({ "MaxResults": JOBS_MAX });
    let found: BackupJobs = visit.ask(Api::Backup, "ListBackupJobs", asked).await?;
    Ok(Jobs {
        all: found.jobs,
        more: found.next_token.is_some(),
    })
}

fn table(visit: &Visit<'_>, plans: &[Plan], jobs: &Jobs) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Backup plans" {
            table {
                thead { tr {
                    th scope="col" { "Plan" }
                    th scope="col" { "Rules" }
                    th scope="col" { "Next run" }
                    th scope="col" { "Last run" }
                    th scope="col" { "Its result" }
                } }
                tbody {
                    @for plan in plans {
                        tr {
                            th scope="row" { a href=(visit.link_with("plan", &[("id", &plan.id)])) { (plan.body.name) } }
                            td { ul class="plain" { @for rule in &plan.body.rules { li { (rule.name) " " span class="mono" { (rule.schedule) } } } } }
                            td { (next(plan)) }
                            td { (maybe(plan.last_execution_date)) }
                            td { (last_result(plan, jobs)) }
                        }
                    }
                }
            }
        }
    }
}

fn next(plan: &Plan) -> Markup {
    match plan.runs.first() {
        Some(due) => moment_of(due.execution_time),
        None => state(Standing::Off, "never"),
    }
}

/// A moment, if there was one.
pub(super) fn maybe(at: Option<f64>) -> Markup {
    match at {
        Some(at) => moment_of(at),
        None => state(Standing::Off, "not yet"),
    }
}

/// What became of the jobs of the last run.
fn last_result(plan: &Plan, jobs: &Jobs) -> Markup {
    let Some(last) = plan.last_execution_date else {
        return html! {};
    };
    let (mut done, mut failed, mut missed, mut open) = (0_usize, 0_usize, 0_usize, 0_usize);
    for job in jobs.of(plan).take_while(|job| last <= job.creation_date) {
        match job.state.as_str() {
            "COMPLETED" => done += 1,
            "CREATED" | "PENDING" | "RUNNING" | "ABORTING" => open += 1,
            // Its window was over before it began.
            "EXPIRED" => missed += 1,
            _ => failed += 1,
        }
    }
    html! {
        @if 0 < failed { div { (state(Standing::Bad, &format!("{failed} failed"))) } }
        @if 0 < missed { div { (state(Standing::Warning, &format!("{missed} missed"))) } }
        @if 0 < open { div { (state(Standing::Busy, &format!("{open} not over"))) } }
        @if 0 < done { div { (state(Standing::Good, &format!("{done} done"))) } }
        @if done + failed + missed + open == 0 {
            @if jobs.more { (state(Standing::Off, "not among the jobs that were looked at")) }
            @else { (state(Standing::Warning, "no jobs: nothing was selected")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plan(last: Option<f64>) -> Plan {
        let plan = json!({
            "BackupPlan": {"BackupPlanName": "nightly", "Rules": []}, "BackupPlanId": "p", "BackupPlanArn": "a",
            "CreationDate": 1.0, "LastExecutionDate": last,
        });
        serde_json::from_value(plan).expect("a plan")
    }

    fn jobs(states: &[(&str, &str, f64)]) -> Jobs {
        let job = |(plan, state, at): &(&str, &str, f64)| -> Value {
            json!({
                "RecoveryPointArn": "arn", "ResourceName": "shop", "CreationDate": at, "State": state,
                "CreatedBy": {"BackupPlanId": plan, "BackupRuleName": "night"},
            })
        };
        let all: Vec<Value> = states.iter().map(job).collect();
        let all = serde_json::from_value(Value::Array(all)).expect("jobs");
        Jobs { all, more: false }
    }

    #[test]
    fn the_last_run_alone_is_counted() {
        let all = jobs(&[
            ("other", "FAILED", 30.0),
            ("p", "RUNNING", 21.0),
            ("p", "COMPLETED", 20.0),
            ("p", "FAILED", 10.0),
        ]);
        let shown = last_result(&plan(Some(20.0)), &all).into_string();
        assert!(
            shown.contains("1 not over") && shown.contains("1 done"),
            "{shown}"
        );
        assert!(!shown.contains("failed"), "{shown}");
        let shown = last_result(&plan(Some(10.0)), &all).into_string();
        assert!(shown.contains("1 failed"), "{shown}");
        let late = jobs(&[("p", "EXPIRED", 20.0)]);
        let shown = last_result(&plan(Some(20.0)), &late).into_string();
        assert!(
            shown.contains("1 missed") && !shown.contains("failed"),
            "{shown}"
        );
        let shown = last_result(&plan(Some(40.0)), &all).into_string();
        assert!(shown.contains("nothing was selected"), "{shown}");
        assert_eq!(last_result(&plan(None), &all).into_string(), "");
    }
}
