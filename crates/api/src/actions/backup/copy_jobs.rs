//! Copy jobs: asked for, and shown. `service::backup_jobs` begins them.
use catalog::CatalogExt;
use model::{
    Arn, ArnKind, BackupJob, BackupJobKind, BackupJobState, CopyOf, SnapshotName, SnapshotStatus,
};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    backup::{
        faults::{refused, shown},
        filters::{OfJobs, is},
        jobs::{self, CreatedBy},
        lifecycle::Lifecycle,
        points,
        vaults::{self, VAULT_TYPE},
    },
    keys::metadata::seconds,
};
use service::{backup_jobs::record, fault::Fault};

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StartCopyJob {
    recovery_point_arn: String,
    source_backup_vault_name: String,
    destination_backup_vault_arn: String,
    iam_role_arn: String,
    idempotency_token: Option<String>,
    lifecycle: Option<Lifecycle>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Started {
    copy_job_id: String,
    creation_date: f64,
    is_parent: bool,
}

impl Output for Started {}

impl Started {
    fn of(job: &BackupJob) -> Self {
        Self {
            copy_job_id: job.id.clone(),
            creation_date: seconds(job.created_at),
            is_parent: false,
        }
    }
}

impl Action for StartCopyJob {
    const NAME: &'static str = "StartCopyJob";
    const API: Api = Api::Backup;
    type Output = Started;

    async fn run(self, cx: &ActionContext) -> Result<Started, Fault> {
        let lifecycle = match &self.lifecycle {
            Some(given) => Some(Lifecycle::read(Some(given))?),
            None => None,
        };
        jobs::role(&self.iam_role_arn)?;
        let action = "backup:StartCopyJob";
        let from = vaults::find(cx, &self.source_backup_vault_name, action).await?;
        let given = self.recovery_point_arn;
        let wanted = points::wanted(cx, &given)?;
        let (to, name) = vaults::destination(cx, &self.destination_backup_vault_arn).await?;
        if to == from.arn() {
            return Err(refused(
                &to.to_string(),
                "A recovery point cannot be copied into the vault that it is in.",
            ));
        }
        let (id, now) = (cx.service.entropy.uuid(), cx.service.now());
        let (role, token) = (self.iam_role_arn, self.idempotency_token);
        let begun = cx.service.catalog.write(move |tx| {
            let kind = BackupJobKind::Copy;
            let owner = (&from.region, &from.account);
            if let Some(job) = jobs::of_token(tx, owner, kind, token.as_deref())? {
                return Ok(job);
            }
            let source = points::get(tx, &wanted, &from.name, &given)?.value;
            if source.status != SnapshotStatus::Available {
                let message = format!("Recovery point {} is not COMPLETED.", shown(&given));
                return Err(refused(&given, message));
            }
            let Some(point) = &source.recovery_point else {
                return Err(points::missing(&given));
            };
            let job = BackupJob {
                vault: name.clone(),
                snapshot: SnapshotName::of_backup("copyjob", &id),
                iam_role: role.clone(),
                lifecycle: lifecycle.clone().unwrap_or_else(|| point.lifecycle.clone()),
                idempotency_token: token.clone(),
                copy: Some(CopyOf {
                    source: source.arn(),
                    from: from.name.clone(),
                    to: to.clone(),
                    backup_job: None,
                }),
                rule: None,
                ..BackupJob::of_point(kind, &source, point, (&id, now))
            };
            Ok::<_, Fault>(record::insert(tx, job)?.value)
        });
        let job = begun.await?;
        cx.service.backup_jobs.notify_one();
        Ok(Started::of(&job))
    }
}

/// A copy job in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ShownCopyJob {
    account_id: String,
    copy_job_id: String,
    source_backup_vault_arn: String,
    source_recovery_point_arn: String,
    destination_backup_vault_arn: String,
    destination_vault_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_recovery_point_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_encryption_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_recovery_point_lifecycle: Option<Lifecycle>,
    resource_arn: String,
    resource_type: String,
    resource_name: String,
    creation_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_date: Option<f64>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_size_in_bytes: Option<u64>,
    iam_role_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<CreatedBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by_backup_job_id: Option<String>,
    is_parent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_category: Option<&'static str>,
}

impl ShownCopyJob {
    /// None of a job that is no copy.
    fn of(job: &BackupJob) -> Option<Self> {
        let copy = job.copy.as_ref()?;
        let from = Arn::of(
            ArnKind::BackupVault,
            &job.region,
            &job.account,
            copy.from.as_str(),
        );
        // Before it has begun there is none.
        let is_made = matches!(
            job.state,
            BackupJobState::Running | BackupJobState::Completed
        );
        Some(Self {
            account_id: job.account.to_string(),
            copy_job_id: job.id.clone(),
            source_backup_vault_arn: from.to_string(),
            source_recovery_point_arn: copy.source.to_string(),
            destination_backup_vault_arn: copy.to.to_string(),
            destination_vault_type: VAULT_TYPE,
            destination_recovery_point_arn: is_made.then(|| job.point_arn().to_string()),
            destination_encryption_key_arn: job.kms_key.as_ref().map(Arn::to_string),
            destination_recovery_point_lifecycle: Lifecycle::of(&job.lifecycle),
            resource_arn: job.resource.to_string(),
            resource_type: job.resource_type.clone(),
            resource_name: job.resource_name.clone(),
            creation_date: seconds(job.created_at),
            completion_date: job.ended_at.map(seconds),
            state: job.state.as_str(),
            status_message: job.message.clone(),
            backup_size_in_bytes: job.bytes,
            iam_role_arn: job.iam_role.clone(),
            created_by: CreatedBy::of((&job.region, &job.account), job.rule.as_ref()),
            created_by_backup_job_id: copy.backup_job.clone(),
            is_parent: false,
            message_category: jobs::category(job.state),
        })
    }
}

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeCopyJob {
    copy_job_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_job: Option<ShownCopyJob>,
}

impl Output for Described {}

impl Action for DescribeCopyJob {
    const NAME: &'static str = "DescribeCopyJob";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = Described;

    async fn run(self, cx: &ActionContext) -> Result<Described, Fault> {
        let (job, _) = jobs::find(cx, BackupJobKind::Copy, &self.copy_job_id).await?;
        Ok(Described {
            copy_job: ShownCopyJob::of(&job),
        })
    }
}

/// Lists those of the last 30 days.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListCopyJobs {
    next_token: Option<String>,
    max_results: Option<i64>,
    by_resource_arn: Option<String>,
    by_state: Option<String>,
    by_created_before: Option<String>,
    by_created_after: Option<String>,
    by_resource_type: Option<String>,
    by_destination_vault_arn: Option<String>,
    by_account_id: Option<String>,
    by_complete_before: Option<String>,
    by_complete_after: Option<String>,
    by_parent_job_id: Option<String>,
    by_message_category: Option<String>,
    by_source_recovery_point_arn: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CopyJobs {
    copy_jobs: Vec<ShownCopyJob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for CopyJobs {
    const LAYOUT: Layout = Layout::Page("CopyJobs");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl Action for ListCopyJobs {
    const NAME: &'static str = "ListCopyJobs";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = CopyJobs;

    async fn run(self, cx: &ActionContext) -> Result<CopyJobs, Fault> {
        let page = (self.max_results, self.next_token.clone());
        let passes = self.filter()?;
        let asked = (page.0, page.1.as_deref());
        let (found, next_token) = jobs::page(cx, BackupJobKind::Copy, asked, passes).await?;
        let shown = found.iter().filter_map(|(job, _)| ShownCopyJob::of(job));
        Ok(CopyJobs {
            copy_jobs: shown.collect(),
            next_token,
        })
    }
}

impl ListCopyJobs {
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
        let (to, source) = (
            self.by_destination_vault_arn,
            self.by_source_recovery_point_arn,
        );
        Ok(move |job: &BackupJob| {
            let of = job.copy.as_ref().is_some_and(|copy| {
                is(to.as_ref(), &copy.to.to_string())
                    && is(source.as_ref(), &copy.source.to_string())
            });
            of && common.passes(job)
        })
    }
}
