//! Backup jobs, as they are shown; none is stopped through this API.
use model::{BackupJob, BackupJobKind};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults,
        filters::{OfJobs, is},
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
        let common = OfJobs {
            resource_arn: self.by_resource_arn,
            state: self.by_state,
            resource_type: self.by_resource_type,
            account_id: self.by_account_id,
            message_category: self.by_message_category,
            parent_job_id: self.by_parent_job_id,
            ..OfJobs::between(
                (&self.by_created_after, &self.by_created_before),
                (&self.by_complete_after, &self.by_complete_before),
            )?
        };
        let vault = self.by_backup_vault_name;
        Ok(move |job: &BackupJob| is(vault.as_ref(), job.vault.as_str()) && common.passes(job))
    }
}
