//! `RunBackupPlan`: the rules of a backup plan run now, as if they were due.
use model::BackupJob;
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    backup::{
        faults::{not_found, shown},
        plans,
    },
};
use service::{backup_jobs::plans::run_now, fault::Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RunBackupPlan {
    /// The plan.
    backup_plan_id: String,
    /// Only that rule.
    rule_name: Option<String>,
}

/// The answer: a job of each rule and each cluster that is selected.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Begun {
    backup_jobs: Vec<BegunJob>,
}

impl Output for Begun {}

/// A backup job.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct BegunJob {
    backup_job_id: String,
    rule_name: String,
    resource_arn: String,
    backup_vault_name: String,
}

impl BegunJob {
    fn of(job: BackupJob) -> Self {
        Self {
            rule_name: job.rule.map(|rule| rule.rule_name).unwrap_or_default(),
            resource_arn: job.resource.to_string(),
            backup_vault_name: job.vault.to_string(),
            backup_job_id: job.id,
        }
    }
}

impl Action for RunBackupPlan {
    const NAME: &'static str = "RunBackupPlan";
    const API: Api = Api::Snapferry;
    type Output = Begun;

    async fn run(self, cx: &ActionContext) -> Result<Begun, Fault> {
        let plan = plans::find(cx, &self.backup_plan_id).await?;
        let rule = self.rule_name.as_deref();
        if let Some(name) = rule
            && !plan.body.rules.iter().any(|one| one.name == name)
        {
            let message = format!("The backup plan has no rule {}.", shown(name));
            return Err(not_found(name, message));
        }
        let jobs = run_now(&cx.service, &plan, rule).await?;
        Ok(Begun {
            backup_jobs: jobs.into_iter().map(BegunJob::of).collect(),
        })
    }
}
