//! One backup plan: its rules, what they select, its last jobs; and a backup by one of them now.
use api::Api;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use wire::Parameters;

use super::{
    cluster, members,
    plans::{self, Jobs, maybe},
};
use crate::{
    console::{
        format::{moment_of, status},
        refusal::Refusal,
        shapes::{
            Clusters,
            backup::{BackupJob, Plan, Rule, Selections, ShownSelection},
        },
        visit::{Done, Visit},
    },
    units::size,
};

/// Times ahead that are shown.
const RUNS: usize = 5;
/// Selections that are shown, of the hundred that a plan may have.
const SELECTIONS_MAX: usize = 20;
/// Jobs that are shown.
const JOBS_SHOWN: usize = 50;

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "No plan is named.");
    let plan = plans::named(visit, visit.asked("id").ok_or_else(missing)?, RUNS).await?;
    let listed = selections(visit, &plan).await?;
    let mut selected = Vec::new();
    for one in listed.selections.iter().take(SELECTIONS_MAX) {
        let asked = json!({ "BackupPlanId": plan.id, "SelectionId": one.selection_id });
        let found: ShownSelection = visit.ask(Api::Backup, "GetBackupSelection", asked).await?;
        selected.push(found.selection);
    }
    let more = listed.next_token.is_some() || selected.len() < listed.selections.len();
    let jobs = plans::jobs(visit).await?;
    let clusters: Clusters = visit.ask(Api::Rds, "DescribeDBClusters", json!({})).await?;
    Ok(html! {
        h1 { (plan.body.name) }
        (facts(&plan))
        h2 { "Rules" }
        (rules(&plan.body.rules))
        h2 { "What is backed up" }
        (selection_list(&selected, more))
        h2 { "Back up now" }
        @if selected.is_empty() {
            p class="soft" { "The plan selects nothing, so there is no role to back up with." }
        } @else { (form(visit, &plan, &clusters)) }
        h2 { "Last jobs" }
        (job_table(visit, &plan, &jobs))
    })
}

/// `StartBackupJob`, as a rule would ask for it.
pub(super) async fn back_up(visit: &Visit<'_>, fields: &Parameters) -> Result<Done, Refusal> {
    let field = |name| fields.get(name).unwrap_or_default().trim();
    let plan = plans::named(visit, field("id"), 0).await?;
    let rule = plan.body.rules.iter().find(|rule| rule.id == field("rule"));
    let gone = "Nothing was begun: the plan does not have this rule any more.";
    let rule = rule.ok_or_else(|| Refusal::new(StatusCode::CONFLICT, gone))?;
    let listed = selections(visit, &plan).await?;
    let none = "Nothing was begun: the plan selects nothing, so there is no role to back up with.";
    let role = listed.selections.first().map(|one| &one.iam_role_arn);
    let role = role.ok_or_else(|| Refusal::new(StatusCode::CONFLICT, none))?;
    let cluster = cluster::named(visit, Some(field("cluster"))).await?;
    let asked = json!({
        "BackupVaultName": rule.vault,
        "ResourceArn": cluster.arn,
        "IamRoleArn": role,
        "Lifecycle": rule.lifecycle,
        "RecoveryPointTags": rule.recovery_point_tags,
        "StartWindowMinutes": rule.start_window_minutes,
        "CompleteWindowMinutes": rule.completion_window_minutes,
    });
    let _: Value = visit.ask(Api::Backup, "StartBackupJob", asked).await?;
    Ok(Done {
        next: visit.link_with("plan", &[("id", &plan.id)]),
        notice: format!("{} is being backed up to {}.", cluster.id, rule.vault),
    })
}

async fn selections(visit: &Visit<'_>, plan: &Plan) -> Result<Selections, Refusal> {
    let asked = json!({ "BackupPlanId": plan.id });
    visit.ask(Api::Backup, "ListBackupSelections", asked).await
}

fn facts(plan: &Plan) -> Markup {
    let rule_of = |id: &str| {
        let rule = plan.body.rules.iter().find(|rule| rule.id == id);
        rule.map_or("", |rule| rule.name.as_str())
    };
    html! {
        dl {
            dt { "Next runs" }
            dd {
                @if plan.runs.is_empty() { "none" }
                ul class="plain" {
                    @for due in &plan.runs { li { (moment_of(due.execution_time)) " " (rule_of(&due.rule_id)) } }
                }
            }
            dt { "Last run" } dd { (maybe(plan.last_execution_date)) }
            dt { "Made" } dd { (moment_of(plan.creation_date)) }
            dt { "ARN" } dd class="mono" { (plan.arn) }
        }
    }
}

fn rules(rules: &[Rule]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Rules" {
            table {
                thead { tr {
                    th scope="col" { "Rule" }
                    th scope="col" { "When" }
                    th scope="col" { "To the vault" }
                    th scope="col" { "Kept" }
                    th scope="col" { "Copied to" }
                } }
                tbody {
                    @for rule in rules {
                        tr {
                            th scope="row" { (rule.name) }
                            td { span class="mono" { (rule.schedule) } div class="soft" { (rule.time_zone) } }
                            td { (rule.vault) }
                            td { (kept(rule.lifecycle.as_ref())) }
                            td {
                                ul class="plain" {
                                    @for copy in &rule.copies {
                                        li {
                                            span class="mono" { (copy.destination_backup_vault_arn) }
                                            div class="soft" { "kept " (kept(copy.lifecycle.as_ref())) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How long a recovery point is kept.
fn kept(lifecycle: Option<&Value>) -> String {
    let days = lifecycle.and_then(|lifecycle| lifecycle["DeleteAfterDays"].as_i64());
    match days.filter(|days| 0 < *days) {
        Some(days) => format!("{days} days"),
        None => "until it is deleted".to_owned(),
    }
}

fn selection_list(selected: &[Map<String, Value>], more: bool) -> Markup {
    html! {
        @if selected.is_empty() { p { "Nothing." } }
        @for one in selected {
            h3 { (members::text(one, "SelectionName")) }
            (members::list(one, &["SelectionName"]))
        }
        @if more { p class="soft" { "There are more than are shown." } }
    }
}

fn form(visit: &Visit<'_>, plan: &Plan, clusters: &Clusters) -> Markup {
    html! {
        form method="post" class="card" {
            (visit.token())
            input type="hidden" name="id" value=(plan.id);
            label { "Cluster"
                input name="cluster" list="clusters" required maxlength="63" spellcheck="false";
            }
            datalist id="clusters" { @for cluster in &clusters.clusters { option value=(cluster.id) {} } }
            label { "As the rule says"
                select name="rule" {
                    @for rule in &plan.body.rules {
                        option value=(rule.id) { (rule.name) ": vault " (rule.vault) ", kept " (kept(rule.lifecycle.as_ref())) }
                    }
                }
            }
            p class="soft" { "A job of its own, beside those of the plan: it is not copied to other vaults, and is not shown below." }
            button class="main" { "Back up" }
        }
    }
}

fn job_table(visit: &Visit<'_>, plan: &Plan, jobs: &Jobs) -> Markup {
    let shown: Vec<&BackupJob> = jobs.of(plan).take(JOBS_SHOWN).collect();
    html! {
        @if shown.is_empty() { p { "There are none of the last 30 days." } }
        @else {
            div class="scroll" tabindex="0" role="region" aria-label="Last jobs" {
                table {
                    thead { tr {
                        th scope="col" { "Begun" }
                        th scope="col" { "Cluster" }
                        th scope="col" { "Rule" }
                        th scope="col" { "State" }
                        th scope="col" { "Recovery point" }
                    } }
                    tbody { @for job in &shown { (job_row(visit, job)) } }
                }
            }
        }
        @if jobs.more { p class="soft" { "There are more jobs than were looked at." } }
    }
}

fn job_row(visit: &Visit<'_>, job: &BackupJob) -> Markup {
    let point = job.recovery_point_arn.split_once("cluster-snapshot:");
    html! {
        tr {
            td { (moment_of(job.creation_date)) }
            td { a href=(visit.link_with("cluster", &[("id", &job.resource_name)])) { (job.resource_name) } }
            td { (job.created_by.as_ref().map_or("", |by| by.rule.as_str())) }
            td {
                (status(&job.state))
                @if let Some(message) = &job.status_message { div class="soft" { (message) } }
            }
            td {
                @if let Some((_, name)) = point.filter(|_| job.state == "COMPLETED") {
                    a class="mono" href=(visit.link_with("snapshot", &[("id", name)])) { (name) }
                }
                @if let Some(bytes) = job.bytes { div class="soft" { (size(bytes)) } }
            }
        }
    }
}
