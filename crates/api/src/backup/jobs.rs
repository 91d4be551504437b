//! Backup jobs: each makes one recovery point.
use catalog::{
    CatalogError, CatalogExt, Tx,
    backup_jobs::{self, After},
    keyed, snapshots,
};
use model::{
    Account, Arn, ArnKind, BackupJob, BackupJobKind, BackupJobState, MadeBy, Region, SnapshotStatus,
};
use serde::Serialize;

use super::{
    faults::{invalid, not_found, shown},
    lifecycle::Lifecycle,
    page,
    vaults::VAULT_TYPE,
};
use crate::{action::ActionContext, keys::metadata::seconds, shapes::Page};
use service::fault::Fault;

/// Rows that are read at once.
const BATCH: usize = 500;

/// A page of the caller's jobs of a kind that pass, newest first, each beside how much of it is
/// done, and the token of the next page.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) async fn page(
    cx: &ActionContext,
    kind: BackupJobKind,
    (max_results, token): (Option<i64>, Option<&str>),
    passes: impl Fn(&BackupJob) -> bool + Send + Sync + 'static,
) -> Result<(Vec<(BackupJob, u8)>, Option<String>), Fault> {
    let page: Page<After> = page::asked(max_results, token)?;
    let (account, region, rows) = (cx.caller.account.clone(), cx.region.clone(), page.rows);
    let found = cx.service.catalog.read(move |tx| {
        let (mut found, mut after) = (Vec::new(), page.after.clone());
        // One more than the page tells that there is another.
        while found.len() <= rows {
            let owner = (&region, &account);
            let batch = backup_jobs::newest(tx, owner, kind, after.as_ref(), BATCH)?;
            let Some(last) = batch.last() else { break };
            after = Some(place(&last.value));
            for stored in batch {
                let (job, percent) = look(tx, stored.value)?;
                if passes(&job) {
                    found.push((job, percent));
                }
            }
        }
        Ok::<_, CatalogError>(found)
    });
    let mut found = found.await?;
    let more = rows < found.len();
    found.truncate(rows);
    let last = found.last().filter(|_| more);
    let next = last.map(|(job, _)| Page::marker(&place(job)));
    Ok((found, next))
}

fn place(job: &BackupJob) -> After {
    (job.created_at, job.id.clone())
}

/// The job that a request of the caller's began before under the same token.
///
/// # Errors
/// The catalog's.
pub(crate) async fn begun(
    cx: &ActionContext,
    kind: BackupJobKind,
    token: Option<&str>,
) -> Result<Option<BackupJob>, Fault> {
    let (account, region, token) = (
        cx.caller.account.clone(),
        cx.region.clone(),
        token.map(str::to_owned),
    );
    let found = cx
        .service
        .catalog
        .read(move |tx| of_token(tx, (&region, &account), kind, token.as_deref()));
    Ok(found.await?)
}

/// The same within a transaction.
///
/// # Errors
/// The catalog's.
pub(crate) fn of_token(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    kind: BackupJobKind,
    token: Option<&str>,
) -> Result<Option<BackupJob>, CatalogError> {
    let Some(token) = token else { return Ok(None) };
    let found = backup_jobs::of_token(tx, (region, account), kind, token)?;
    Ok(found.map(|stored| stored.value))
}

/// The caller's job of a kind and id.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) async fn find(
    cx: &ActionContext,
    kind: BackupJobKind,
    id: &str,
) -> Result<(BackupJob, u8), Fault> {
    let (account, region, wanted) = (cx.caller.account.clone(), cx.region.clone(), id.to_owned());
    let found = cx.service.catalog.read(move |tx| {
        let key = [account.as_str(), wanted.as_str()];
        let found = keyed::get::<BackupJob>(tx, &region, &key)?;
        let found = found.filter(|stored| stored.value.kind == kind);
        let looked = found.map(|stored| look(tx, stored.value));
        looked.transpose()
    });
    let found: Option<(BackupJob, u8)> = found.await?;
    found.ok_or_else(|| missing(kind, id))
}

/// What is said of a job that is not there.
pub(crate) fn missing(kind: BackupJobKind, id: &str) -> Fault {
    let word = match kind {
        BackupJobKind::Backup => "Backup",
        BackupJobKind::Copy => "Copy",
        BackupJobKind::Restore => "Restore",
    };
    not_found(id, format!("{word} job {} cannot be found.", shown(id)))
}

/// A job beside how much of its work there is, in percent. One whose snapshot is gone, as after a
/// rebuild of the catalog, or has failed, has failed too.
fn look(tx: &mut dyn Tx, mut job: BackupJob) -> Result<(BackupJob, u8), CatalogError> {
    match job.state {
        BackupJobState::Completed => return Ok((job, 100)),
        BackupJobState::Created | BackupJobState::Failed | BackupJobState::Expired => {
            return Ok((job, 0));
        }
        BackupJobState::Running => {}
    }
    if let Some(restore) = &job.restore {
        let cluster = service::backup_jobs::restored(tx, &restore.cluster)?;
        let percent = cluster.and_then(|cluster| cluster.percent_progress);
        return Ok((job, percent.unwrap_or_default()));
    }
    let (region, account) = job.goes_to();
    let found = snapshots::get(tx, region, account, &job.snapshot)?;
    let found = found.map(|stored| stored.value);
    let percent = found
        .as_ref()
        .map_or(0, |snapshot| snapshot.percent_progress);
    if found.is_none_or(|snapshot| snapshot.status == SnapshotStatus::Failed) {
        job.state = BackupJobState::Failed;
        job.message = Some("Its snapshot was lost before it was whole.".to_owned());
    }
    Ok((job, percent))
}

/// Refuses what is no role's ARN. Which role it is counts for nothing: there is no IAM.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn role(given: &str) -> Result<(), Fault> {
    let parts: Vec<&str> = given.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "iam", "", account, name]
            if account.len() == 12 && name.starts_with("role/") && name.len() > 5 =>
        {
            Ok(())
        }
        _ => Err(invalid(
            given,
            format!("IamRoleArn {} is not the ARN of a role.", shown(given)),
        )),
    }
}

/// The rule of a plan that asked for something.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreatedBy {
    backup_plan_id: String,
    backup_plan_arn: String,
    backup_plan_name: String,
    backup_plan_version: String,
    backup_rule_id: String,
    backup_rule_name: String,
    backup_rule_cron: String,
    backup_rule_timezone: String,
}

impl CreatedBy {
    /// Of what such a rule made in an account and region.
    pub(crate) fn of(
        (region, account): (&Region, &Account),
        rule: Option<&MadeBy>,
    ) -> Option<Self> {
        let rule = rule?;
        let arn = Arn::of(ArnKind::BackupPlan, region, account, &rule.plan);
        Some(Self {
            backup_plan_id: rule.plan.clone(),
            backup_plan_arn: arn.to_string(),
            backup_plan_name: rule.plan_name.clone(),
            backup_plan_version: rule.version.clone(),
            backup_rule_id: rule.rule.clone(),
            backup_rule_name: rule.rule_name.clone(),
            backup_rule_cron: rule.schedule.clone(),
            backup_rule_timezone: rule.time_zone.clone(),
        })
    }
}

/// A job in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ShownJob {
    account_id: String,
    backup_job_id: String,
    backup_vault_name: String,
    backup_vault_arn: String,
    vault_type: &'static str,
    recovery_point_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_point_lifecycle: Option<Lifecycle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_key_arn: Option<String>,
    is_encrypted: bool,
    resource_arn: String,
    resource_type: String,
    resource_name: String,
    creation_date: f64,
    start_by: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_completion_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_date: Option<f64>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<String>,
    percent_done: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_size_in_bytes: Option<u64>,
    iam_role_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<CreatedBy>,
    is_parent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_category: Option<&'static str>,
}

/// What `MessageCategory` says of a job that stands there.
pub(crate) fn category(state: BackupJobState) -> Option<&'static str> {
    (state == BackupJobState::Completed).then_some("SUCCESS")
}

impl ShownJob {
    /// Its owner's view.
    pub(crate) fn of(job: &BackupJob, percent: u8) -> Self {
        Self {
            account_id: job.account.to_string(),
            backup_job_id: job.id.clone(),
            backup_vault_name: job.vault.to_string(),
            backup_vault_arn: job.vault_arn().to_string(),
            vault_type: VAULT_TYPE,
            recovery_point_arn: job.point_arn().to_string(),
            recovery_point_lifecycle: Lifecycle::of(&job.lifecycle),
            encryption_key_arn: job.kms_key.as_ref().map(Arn::to_string),
            is_encrypted: job.kms_key.is_some(),
            resource_arn: job.resource.to_string(),
            resource_type: job.resource_type.clone(),
            resource_name: job.resource_name.clone(),
            creation_date: seconds(job.created_at),
            start_by: seconds(job.start_by),
            expected_completion_date: job.complete_by.map(seconds),
            completion_date: job.ended_at.map(seconds),
            state: job.state.as_str(),
            status_message: job.message.clone(),
            percent_done: format!("{percent}.0"),
            backup_size_in_bytes: job.bytes,
            iam_role_arn: job.iam_role.clone(),
            created_by: CreatedBy::of((&job.region, &job.account), job.rule.as_ref()),
            is_parent: false,
            message_category: category(job.state),
        }
    }
}
