//! Restore jobs: a recovery point into a new DB cluster, by RestoreDBClusterFromSnapshot.
use std::collections::BTreeMap;

use catalog::{CatalogError, CatalogExt, keyed};
use model::{
    Arn, ArnKind, BackupJob, BackupJobKind, BackupJobState, ErrorKind, RestoreOf,
    RestoreTestingPlan, Snapshot, SnapshotStatus, backup_job::resource_type,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::restore_door;
use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    actions::rds::restore_db_cluster_from_snapshot::RestoreDbClusterFromSnapshot,
    backup::{
        faults::{invalid, missing, refused, shown},
        filters::{OfJobs, between, is, span},
        jobs, points,
        restore::{self, Metadata},
        vaults,
    },
    keys::metadata::seconds,
};
use service::{backup_jobs::record, fault::Fault};

/// What a recovery point's restore is given if nothing else is said.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetRecoveryPointRestoreMetadata {
    backup_vault_name: String,
    recovery_point_arn: String,
    backup_vault_account_id: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct OfPoint {
    backup_vault_arn: String,
    recovery_point_arn: String,
    restore_metadata: Metadata,
    resource_type: &'static str,
}

impl Output for OfPoint {}

impl Action for GetRecoveryPointRestoreMetadata {
    const NAME: &'static str = "GetRecoveryPointRestoreMetadata";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = OfPoint;

    async fn run(self, cx: &ActionContext) -> Result<OfPoint, Fault> {
        let given = self.recovery_point_arn;
        let owner = self.backup_vault_account_id.as_deref();
        vaults::is_own(cx, &self.backup_vault_name, owner)?;
        let action = "backup:GetRecoveryPointRestoreMetadata";
        let vault = vaults::find(cx, &self.backup_vault_name, action).await?;
        let (wanted, arn) = (points::wanted(cx, &given)?, vault.arn());
        let found = cx
            .service
            .catalog
            .read(move |tx| points::get(tx, &wanted, &vault.name, &given));
        let snapshot = found.await?.value;
        Ok(OfPoint {
            backup_vault_arn: arn.to_string(),
            recovery_point_arn: snapshot.arn().to_string(),
            restore_metadata: restore::metadata_of(&snapshot),
            resource_type: resource_type(&snapshot.engine),
        })
    }
}

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StartRestoreJob {
    recovery_point_arn: String,
    metadata: Metadata,
    iam_role_arn: Option<String>,
    idempotency_token: Option<String>,
    resource_type: Option<String>,
    #[serde(default)]
    copy_source_tags_to_restored_resource: bool,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Started {
    restore_job_id: String,
}

impl Output for Started {}

impl Action for StartRestoreJob {
    const NAME: &'static str = "StartRestoreJob";
    const API: Api = Api::Backup;
    type Output = Started;

    async fn run(self, cx: &ActionContext) -> Result<Started, Fault> {
        if let Some(role) = &self.iam_role_arn {
            jobs::role(role)?;
        }
        let snapshot = self.point(cx).await?;
        self.is_of_type(resource_type(&snapshot.engine))?;
        let schema = schemars::schema_for!(RestoreDbClusterFromSnapshot);
        let mut request = restore::request(&self.metadata, &snapshot, &schema)?;
        let Some(cluster) = request.get("DBClusterIdentifier").and_then(Value::as_str) else {
            return Err(missing("DBClusterIdentifier"));
        };
        let cluster = cluster.to_owned();
        if self.copy_source_tags_to_restored_resource {
            let tags = snapshot.tags.iter();
            let tags = tags.map(|tag| json!({"Key": tag.key, "Value": tag.value}));
            request["Tags"] = tags.collect();
        }
        let ask = restore_door::ask(request)?;

        let new = self.record(cx, &snapshot, cluster)?;
        let (id, kept) = (new.id.clone(), keep(cx, new).await?);
        if kept.id == id {
            let outcome = ask.run(cx).await.map(drop);
            begun(cx, kept.clone(), outcome).await?;
            cx.service.backup_jobs.notify_one();
        }
        Ok(Started {
            restore_job_id: kept.id,
        })
    }
}

impl StartRestoreJob {
    /// The recovery point: the caller's, and whole.
    async fn point(&self, cx: &ActionContext) -> Result<Snapshot, Fault> {
        let given = self.recovery_point_arn.clone();
        let wanted = points::wanted(cx, &given)?;
        let found = cx.service.catalog.read(move |tx| {
            let snapshot = points::anywhere(tx, &wanted, &given)?.value;
            if let Some(point) = &snapshot.recovery_point {
                let vault = vaults::get(tx, &snapshot.region, &snapshot.account, &point.vault)?;
                vaults::not_denied(&vault.value, "backup:StartRestoreJob")?;
            }
            match snapshot.status {
                SnapshotStatus::Available => Ok(snapshot),
                _ => {
                    let message = format!("Recovery point {} is not COMPLETED.", shown(&given));
                    Err(refused(&given, message))
                }
            }
        });
        found.await
    }

    fn is_of_type(&self, is: &str) -> Result<(), Fault> {
        match self.resource_type.as_deref() {
            Some(asked) if asked != is => Err(invalid(
                asked,
                format!(
                    "The recovery point is of the resource type {is}, and not {}.",
                    shown(asked)
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The job's record.
    fn record(
        &self,
        cx: &ActionContext,
        snapshot: &Snapshot,
        cluster: String,
    ) -> Result<BackupJob, Fault> {
        let arn = &self.recovery_point_arn;
        let point = snapshot.recovery_point.as_ref();
        let point = point.ok_or_else(|| points::missing(arn))?;
        let (id, now) = (cx.service.entropy.uuid(), cx.service.now());
        let (region, account) = (&snapshot.region, &snapshot.account);
        Ok(BackupJob {
            iam_role: self.iam_role_arn.clone().unwrap_or_default(),
            idempotency_token: self.idempotency_token.clone(),
            bytes: snapshot.content.as_ref().map(|one| one.logical_bytes),
            restore: Some(RestoreOf {
                cluster: Arn::of(ArnKind::Cluster, region, account, &cluster),
                metadata: self.metadata.clone(),
                point_made_at: snapshot.recorded_at,
                testing_plan: None,
                validation: None,
                deletion: None,
            }),
            ..BackupJob::of_point(BackupJobKind::Restore, snapshot, point, (&id, now))
        })
    }
}

/// Keeps a new job, unless its token began one before: then that.
async fn keep(cx: &ActionContext, new: BackupJob) -> Result<BackupJob, Fault> {
    let kept = cx.service.catalog.write(move |tx| {
        let (owner, token) = (
            (&new.region, &new.account),
            new.idempotency_token.as_deref(),
        );
        if let Some(begun) = jobs::of_token(tx, owner, new.kind, token)? {
            return Ok(begun);
        }
        Ok::<_, CatalogError>(record::insert(tx, new.clone())?.value)
    });
    Ok(kept.await?)
}

/// Writes what RDS said into the job. What it refused is the job's failure, as in AWS Backup.
async fn begun(
    cx: &ActionContext,
    job: BackupJob,
    outcome: Result<(), Fault>,
) -> Result<(), Fault> {
    let told = match outcome {
        Ok(()) => None,
        Err(fault) if fault.code.kind() == ErrorKind::Refuse => Some(fault.message.to_string()),
        Err(fault) => {
            let gone = cx.service.catalog.write(move |tx| keyed::delete(tx, &job));
            gone.await?;
            return Err(fault);
        }
    };
    let written = cx.service.catalog.write(move |tx| {
        let key = [job.account.as_str(), job.id.as_str()];
        let Some(mut stored) = keyed::get::<BackupJob>(tx, &job.region, &key)? else {
            return Ok(());
        };
        if stored.value.state != BackupJobState::Created {
            return Ok(());
        }
        stored.value.state = BackupJobState::Running;
        if told.is_some() {
            stored.value.state = BackupJobState::Failed;
            stored.value.ended_at = Some(tx.now());
        }
        stored.value.message.clone_from(&told);
        record::update(tx, stored).map(drop)
    });
    Ok(written.await?)
}

/// A restore job in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ShownRestoreJob {
    account_id: String,
    restore_job_id: String,
    recovery_point_arn: String,
    source_resource_arn: String,
    backup_vault_arn: String,
    creation_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_date: Option<f64>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    percent_done: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_size_in_bytes: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    iam_role_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_resource_arn: Option<String>,
    resource_type: String,
    recovery_point_creation_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<TestedBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validation_status_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_status_message: Option<String>,
    is_parent: bool,
}

/// The restore testing plan that asked for a restore.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct TestedBy {
    restore_testing_plan_arn: String,
}

/// The ARN of the restore testing plan that asked for a job.
fn plan_of(job: &BackupJob) -> Option<String> {
    let plan = job.restore.as_ref()?.testing_plan.as_ref()?;
    let arns = RestoreTestingPlan::arns(&job.region, &job.account);
    Some(format!("{arns}{plan}"))
}

impl Output for ShownRestoreJob {}

/// The word for where a restore job stands.
pub(super) fn status(state: BackupJobState) -> &'static str {
    match state {
        BackupJobState::Created => "PENDING",
        other => other.as_str(),
    }
}

impl ShownRestoreJob {
    /// None of a job that is no restore.
    fn of(job: &BackupJob, percent: u8) -> Option<Self> {
        let restore = job.restore.as_ref()?;
        let is_made = matches!(
            job.state,
            BackupJobState::Running | BackupJobState::Completed
        );
        let (said, deletion) = (restore.validation.as_ref(), restore.deletion.as_ref());
        Some(Self {
            created_by: plan_of(job).map(|restore_testing_plan_arn| TestedBy {
                restore_testing_plan_arn,
            }),
            validation_status: said.map(|said| said.status.as_str()),
            validation_status_message: said.and_then(|said| said.message.clone()),
            deletion_status: deletion.map(|one| one.status.as_str()),
            deletion_status_message: deletion.and_then(|one| one.message.clone()),
            account_id: job.account.to_string(),
            restore_job_id: job.id.clone(),
            recovery_point_arn: job.point_arn().to_string(),
            source_resource_arn: job.resource.to_string(),
            backup_vault_arn: job.vault_arn().to_string(),
            creation_date: seconds(job.created_at),
            completion_date: job.ended_at.map(seconds),
            status: status(job.state),
            status_message: job.message.clone(),
            percent_done: format!("{percent}.0"),
            backup_size_in_bytes: job.bytes,
            iam_role_arn: job.iam_role.clone(),
            created_resource_arn: is_made.then(|| restore.cluster.to_string()),
            resource_type: job.resource_type.clone(),
            recovery_point_creation_date: seconds(restore.point_made_at),
            is_parent: false,
        })
    }
}

/// Shows one.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRestoreJob {
    restore_job_id: String,
}

impl Action for DescribeRestoreJob {
    const NAME: &'static str = "DescribeRestoreJob";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = ShownRestoreJob;

    async fn run(self, cx: &ActionContext) -> Result<ShownRestoreJob, Fault> {
        let id = &self.restore_job_id;
        let (job, percent) = jobs::find(cx, BackupJobKind::Restore, id).await?;
        ShownRestoreJob::of(&job, percent).ok_or_else(|| jobs::missing(BackupJobKind::Restore, id))
    }
}

/// What one was asked with.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetRestoreJobMetadata {
    restore_job_id: String,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct OfJob {
    restore_job_id: String,
    metadata: BTreeMap<String, String>,
}

impl Output for OfJob {}

impl Action for GetRestoreJobMetadata {
    const NAME: &'static str = "GetRestoreJobMetadata";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = OfJob;

    async fn run(self, cx: &ActionContext) -> Result<OfJob, Fault> {
        let (job, _) = jobs::find(cx, BackupJobKind::Restore, &self.restore_job_id).await?;
        Ok(OfJob {
            restore_job_id: job.id,
            metadata: job.restore.map(|of| of.metadata).unwrap_or_default(),
        })
    }
}

/// Lists those of the last 30 days.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListRestoreJobs {
    next_token: Option<String>,
    max_results: Option<i64>,
    by_account_id: Option<String>,
    by_resource_type: Option<String>,
    by_created_before: Option<String>,
    by_created_after: Option<String>,
    by_status: Option<String>,
    by_complete_before: Option<String>,
    by_complete_after: Option<String>,
    by_restore_testing_plan_arn: Option<String>,
    by_parent_job_id: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RestoreJobs {
    restore_jobs: Vec<ShownRestoreJob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Output for RestoreJobs {
    const LAYOUT: Layout = Layout::Page("RestoreJobs");

    fn label(&self) -> Label {
        Label::Page {
            next: self.next_token.clone(),
        }
    }
}

impl RestoreJobs {
    fn of((found, next_token): (Vec<(BackupJob, u8)>, Option<String>)) -> Self {
        let shown = found.iter();
        Self {
            restore_jobs: shown
                .filter_map(|(job, percent)| ShownRestoreJob::of(job, *percent))
                .collect(),
            next_token,
        }
    }
}

impl Action for ListRestoreJobs {
    const NAME: &'static str = "ListRestoreJobs";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = RestoreJobs;

    async fn run(self, cx: &ActionContext) -> Result<RestoreJobs, Fault> {
        let page = (self.max_results, self.next_token.clone());
        let passes = self.filter()?;
        let asked = (page.0, page.1.as_deref());
        let found = jobs::page(cx, BackupJobKind::Restore, asked, passes).await?;
        Ok(RestoreJobs::of(found))
    }
}

impl ListRestoreJobs {
    /// Which jobs it asks for.
    fn filter(self) -> Result<impl Fn(&BackupJob) -> bool + Send + Sync + 'static, Fault> {
        let common = OfJobs {
            resource_type: self.by_resource_type,
            account_id: self.by_account_id,
            parent_job_id: self.by_parent_job_id,
            ..OfJobs::between(
                (&self.by_created_after, &self.by_created_before),
                (&self.by_complete_after, &self.by_complete_before),
            )?
        };
        let (asked, plan) = (self.by_status, self.by_restore_testing_plan_arn);
        Ok(move |job: &BackupJob| {
            let is_of_plan = plan.is_none() || plan == plan_of(job);
            is_of_plan && is(asked.as_ref(), status(job.state)) && common.passes(job)
        })
    }
}

/// Lists those of a resource that was backed up.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListRestoreJobsByProtectedResource {
    resource_arn: String,
    by_status: Option<String>,
    by_recovery_point_creation_date_after: Option<String>,
    by_recovery_point_creation_date_before: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

impl Action for ListRestoreJobsByProtectedResource {
    const NAME: &'static str = "ListRestoreJobsByProtectedResource";
    const API: Api = Api::Backup;
    const READS: bool = true;
    type Output = RestoreJobs;

    async fn run(self, cx: &ActionContext) -> Result<RestoreJobs, Fault> {
        let resource = points::resource_arn(&self.resource_arn)?;
        let (after, before) = span(
            (
                "ByRecoveryPointCreationDateAfter",
                "ByRecoveryPointCreationDateBefore",
            ),
            (
                &self.by_recovery_point_creation_date_after,
                &self.by_recovery_point_creation_date_before,
            ),
        )?;
        let asked = self.by_status;
        let passes = move |job: &BackupJob| {
            let made_at = job.restore.as_ref().map(|restore| restore.point_made_at);
            job.resource == resource
                && is(asked.as_ref(), status(job.state))
                && between(made_at, after, before)
        };
        let page = (self.max_results, self.next_token.as_deref());
        let found = jobs::page(cx, BackupJobKind::Restore, page, passes).await?;
        Ok(RestoreJobs::of(found))
    }
}
