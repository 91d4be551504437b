//! Backup jobs, as they are shown; none is stopped through this API.
use model::{BackupJob, BackupJobKind};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults,
        filters::{between, is, is_any_or, moment},
        jobs::{self, ShownJob},
    },
};
use service::fault::Fault;

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeBackupJob {
    backup_job_id: String,
}

impl Output for ShownJob {}

impl Action for DescribeBackupJob {
    const NAME: &'static str = "DescribeBackupJob";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = ShownJob;

    async fn run(self, cx: &ActionContext) -> Result<ShownJob, Fault> {
        let (job, percent) = jobs::find(cx, BackupJobKind::Backup, &self.backup_job_id).await?;
        Ok(ShownJob::of(&job, percent))
    }
}

/// The model says of Aurora that its jobs cannot be stopped.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StopBackupJob {
    backup_job_id: String,
}

impl Action for StopBackupJob {
    const NAME: &'static str = "StopBackupJob";
    const API: Api = Api::Backup;
    type Output = ();

    async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
        let (job, _) = jobs::find(cx, BackupJobKind::Backup, &self.backup_job_id).await?;
        Err(faults::refused(
            &job.id,
            format!("Backup jobs of {} cannot be stopped.", job.resource_type),
        ))
    }
}

/// Lists those of the last 30 days.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListBackupJobs {
    next_token: Option<String>,
    max_results: Option<i64>,
    by_resource_arn: Option<String>,
    by_state: Option<String>,
    by_backup_vault_name: Option<String>,
    by_created_before: Option<String>,
    by_created_after: Option<String>,
    by_resource_type: Option<String>,
    by_account_id: Option<String>,
    by_complete_after: Option<String>,
    by_complete_before: Option<String>,
    by_parent_job_id: Option<String>,
    by_message_category: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Jobs {
    backup_jobs: Vec<ShownJob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for Jobs {
    const LAYOUT: Layout = Layout::Page("BackupJobs");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListBackupJobs {
    const NAME: &'static str = "ListBackupJobs";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Jobs;

    async fn run(self, cx: &ActionContext) -> Result<Jobs, Fault> {
        let page = (self.max_results, self.next_token.clone());
        let passes = self.filter()?;
        let asked = (page.0, page.1.as_deref());
        let (found, next_token) = jobs::page(cx, BackupJobKind::Backup, asked, passes).await?;
        let shown = found
            .iter()
            .map(|(job, percent)| ShownJob::of(job, *percent));
        Ok(Jobs {
            backup_jobs: shown.collect(),
            next_token,
        })
    }
}

impl ListBackupJobs {
    /// Which jobs it asks for.
    fn filter(self) -> Result<impl Fn(&BackupJob) -> bool + Send + Sync + 'static, Fault> {
        let created = (
            moment("ByCreatedAfter", self.by_created_after.as_deref())?,
            moment("ByCreatedBefore", self.by_created_before.as_deref())?,
        );
        let ended = (
            moment("ByCompleteAfter", self.by_complete_after.as_deref())?,
            moment("ByCompleteBefore", self.by_complete_before.as_deref())?,
        );
        Ok(move |job: &BackupJob| {
            is(self.by_resource_arn.as_ref(), &job.resource.to_string())
                && is(self.by_state.as_ref(), job.state.as_str())
                && is(self.by_backup_vault_name.as_ref(), job.vault.as_str())
                && is(self.by_resource_type.as_ref(), &job.resource_type)
                && is_any_or(self.by_account_id.as_ref(), job.account.as_str())
                && is_any_or(
                    self.by_message_category.as_ref(),
                    jobs::category(job).unwrap_or_default(),
                )
                // No job has a parent.
                && self.by_parent_job_id.is_none()
                && between(Some(job.created_at), created.0, created.1)
                && between(job.ended_at, ended.0, ended.1)
        })
    }
}
