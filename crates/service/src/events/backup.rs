//! The events of AWS Backup, in the shape that EventBridge gives them. `DescribeEvents` of RDS does not
//! tell them: they have none of its categories.
//!
//! Source: "Monitoring AWS Backup events using Amazon EventBridge", AWS Backup Developer Guide.
use catalog::{
    CatalogError, Tx,
    events::{self, Event},
};
use model::{
    Account, Arn, ArnKind, BackupJob, BackupJobKind, BackupJobState, BackupPlan, BackupSettings,
    BackupVault, MadeBy, Region, RestoreTestingPlan, Snapshot, Timestamp,
    backup_job::resource_type,
};
use serde_json::{Map, Value, json};

/// The source type of all of them.
pub const BACKUP: &str = "aws-backup";

/// What became of a vault or a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Created,
    /// It was changed.
    Modified,
    /// It was deleted.
    Deleted,
}

impl Change {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// What an event tells: its type, the ARNs of its resources, and the rest.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) detail_type: String,
    pub(super) resources: Value,
    pub(super) detail: Value,
}

impl Told {
    /// Of an event of this source type.
    pub(super) fn of(event: &Event) -> Self {
        let body: Value = serde_json::from_str(&event.message).unwrap_or_default();
        Self {
            detail_type: event.event_id.clone(),
            resources: body.get("resources").cloned().unwrap_or_default(),
            detail: body.get("detail").cloned().unwrap_or_default(),
        }
    }
}

fn keep(
    tx: &mut dyn Tx,
    (region, account): (&Region, &Account),
    (of, id): (&Arn, &str),
    detail_type: &str,
    (resources, detail): (Vec<String>, Map<String, Value>),
) -> Result<(), CatalogError> {
    let event = Event {
        region: region.clone(),
        account: account.clone(),
        source_type: BACKUP.to_owned(),
        source_id: id.to_owned(),
        source_arn: of.clone(),
        categories: Vec::new(),
        message: json!({ "resources": resources, "detail": detail }).to_string(),
        event_id: detail_type.to_owned(),
        at: tx.now(),
    };
    events::insert(tx, &event)
}

/// `2020-07-15T21:38:31.152Z`.
fn date(at: Timestamp) -> Value {
    let micros = at.to_rfc3339_micros();
    let millis = micros
        .split_at_checked(23)
        .map_or(&*micros, |parts| parts.0);
    Value::String(format!("{millis}Z"))
}

/// The members that have a value.
fn members<const N: usize>(all: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let there = all
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    there.collect()
}

fn created_by((region, account): (&Region, &Account), rule: Option<&MadeBy>) -> Option<Value> {
    let rule = rule?;
    let plan = Arn::of(ArnKind::BackupPlan, region, account, &rule.plan);
    Some(json!({
        "backupPlanId": rule.plan,
        "backupPlanArn": plan.to_string(),
        "backupPlanVersion": rule.version,
        "backupPlanRuleId": rule.rule,
    }))
}

/// Where a job stands now.
///
/// # Errors
/// The catalog's.
pub fn job(tx: &mut dyn Tx, job: &BackupJob) -> Result<(), CatalogError> {
    let owner = (&job.region, &job.account);
    let point = job.point_arn();
    let (detail_type, told) = match job.kind {
        BackupJobKind::Backup => ("Backup Job State Change", backup(job, &point)),
        BackupJobKind::Copy => ("Copy Job State Change", copy(job, &point)),
        BackupJobKind::Restore => ("Restore Job State Change", restore(job, &point)),
    };
    keep(tx, owner, (&point, &job.id), detail_type, told)
}

/// What jobs of all kinds tell alike.
fn common(job: &BackupJob) -> Map<String, Value> {
    let owner = (&job.region, &job.account);
    members([
        ("creationDate", Some(date(job.created_at))),
        ("iamRoleArn", Some(json!(job.iam_role))),
        ("resourceType", Some(json!(job.resource_type))),
        ("statusMessage", job.message.as_ref().map(|why| json!(why))),
        ("completionDate", job.ended_at.map(date)),
        ("createdBy", created_by(owner, job.rule.as_ref())),
    ])
}

fn percent(job: &BackupJob) -> Value {
    json!(if job.state == BackupJobState::Completed {
        100
    } else {
        0
    })
}

fn bytes(job: &BackupJob) -> Option<Value> {
    job.bytes.map(|bytes| json!(bytes.to_string()))
}

fn backup(job: &BackupJob, point: &Arn) -> (Vec<String>, Map<String, Value>) {
    let mut detail = common(job);
    detail.extend(members([
        ("backupJobId", Some(json!(job.id))),
        ("backupSizeInBytes", bytes(job)),
        ("backupVaultArn", Some(json!(job.vault_arn().to_string()))),
        ("backupVaultName", Some(json!(job.vault.as_str()))),
        ("bytesTransferred", bytes(job).or(Some(json!("0")))),
        ("resourceArn", Some(json!(job.resource.to_string()))),
        ("state", Some(json!(job.state.as_str()))),
        ("startBy", Some(date(job.start_by))),
        ("expectedCompletionDate", job.complete_by.map(date)),
        ("percentDone", Some(percent(job))),
    ]));
    let is_made = job.state == BackupJobState::Completed;
    let resources = is_made.then(|| point.to_string());
    (resources.into_iter().collect(), detail)
}

fn copy(job: &BackupJob, point: &Arn) -> (Vec<String>, Map<String, Value>) {
    let of = job.copy.as_ref();
    let from = of.map(|copy| {
        let (region, account) = (&job.region, &job.account);
        Arn::of(ArnKind::BackupVault, region, account, copy.from.as_str())
    });
    let made = match job.state {
        BackupJobState::Completed => json!(point.to_string()),
        _ => json!({}),
    };
    let mut detail = common(job);
    detail.extend(members([
        ("copyJobId", Some(json!(job.id))),
        ("backupSizeInBytes", job.bytes.map(|bytes| json!(bytes))),
        ("resourceArn", Some(json!(job.resource.to_string()))),
        ("state", Some(json!(job.state.as_str()))),
        (
            "sourceBackupVaultArn",
            from.map(|arn| json!(arn.to_string())),
        ),
        (
            "destinationBackupVaultArn",
            of.map(|copy| json!(copy.to.to_string())),
        ),
        ("destinationRecoveryPointArn", Some(made)),
    ]));
    let source = of.map(|copy| copy.source.to_string());
    (source.into_iter().collect(), detail)
}

fn restore(job: &BackupJob, point: &Arn) -> (Vec<String>, Map<String, Value>) {
    let is_made = matches!(
        job.state,
        BackupJobState::Running | BackupJobState::Completed
    );
    let made = job.restore.as_ref().filter(|_| is_made);
    let status = match job.state {
        BackupJobState::Created => "PENDING",
        other => other.as_str(),
    };
    let mut detail = common(job);
    detail.extend(members([
        ("restoreJobId", Some(json!(job.id))),
        ("backupVaultArn", Some(json!(job.vault_arn().to_string()))),
        ("recoveryPointArn", Some(json!(point.to_string()))),
        ("sourceResourceArn", Some(json!(job.resource.to_string()))),
        ("backupSizeInBytes", bytes(job)),
        ("percentDone", Some(percent(job))),
        ("status", Some(json!(status))),
        (
            "createdResourceArn",
            made.map(|one| json!(one.cluster.to_string())),
        ),
    ]));
    detail.extend(tested(job));
    (vec![point.to_string()], detail)
}

/// What a restore for a test tells beside what others do.
fn tested(job: &BackupJob) -> Map<String, Value> {
    let Some((of, plan)) = job
        .restore
        .as_ref()
        .and_then(|of| Some((of, of.testing_plan.as_ref()?)))
    else {
        return Map::new();
    };
    let arns = RestoreTestingPlan::arns(&job.region, &job.account);
    let (said, deletion) = (of.validation.as_ref(), of.deletion.as_ref());
    members([
        (
            "createdBy",
            Some(json!({ "restoreTestingPlanArn": format!("{arns}{plan}") })),
        ),
        (
            "validationStatus",
            said.map(|said| json!(said.status.as_str())),
        ),
        (
            "validationStatusMessage",
            said.and_then(|said| said.message.as_ref().map(|why| json!(why))),
        ),
        (
            "deletionStatus",
            deletion.map(|one| json!(one.status.as_str())),
        ),
        (
            "deletionStatusMessage",
            deletion.and_then(|one| one.message.as_ref().map(|why| json!(why))),
        ),
    ])
}

/// What became of a recovery point: `COMPLETED`, `PARTIAL`, `EXPIRED`, or `DELETING`. Other snapshots
/// have no such event.
///
/// # Errors
/// The catalog's.
pub fn point(tx: &mut dyn Tx, snapshot: &Snapshot, status: &str) -> Result<(), CatalogError> {
    let Some(point) = &snapshot.recovery_point else {
        return Ok(());
    };
    let owner = (&snapshot.region, &snapshot.account);
    let vault = Arn::of(ArnKind::BackupVault, owner.0, owner.1, point.vault.as_str());
    let made_by = match &point.job_at {
        Some(place) => (&place.region, &place.account),
        None => owner,
    };
    let lifecycle = members([
        (
            "deleteAfterDays",
            point.lifecycle.delete_after_days.map(|days| json!(days)),
        ),
        (
            "moveToColdStorageAfterDays",
            point.lifecycle.cold_after_days.map(|days| json!(days)),
        ),
    ]);
    let goes_at = point.delete_at(snapshot.recorded_at);
    let detail = members([
        ("backupVaultName", Some(json!(point.vault.as_str()))),
        ("backupVaultArn", Some(json!(vault.to_string()))),
        ("creationDate", Some(date(snapshot.recorded_at))),
        ("iamRoleArn", Some(json!(point.iam_role))),
        ("resourceType", Some(json!(resource_type(&snapshot.engine)))),
        ("resourceArn", Some(json!(point.resource.to_string()))),
        ("status", Some(json!(status))),
        ("statusMessage", point.kept.as_ref().map(|why| json!(why))),
        (
            "isEncrypted",
            Some(json!(snapshot.storage_encrypted.to_string())),
        ),
        ("storageClass", Some(json!("WARM"))),
        ("completionDate", point.completed_at.map(date)),
        ("createdBy", created_by(made_by, point.rule.as_ref())),
        ("lifecycle", Some(Value::Object(lifecycle))),
        (
            "calculatedLifeCycle",
            goes_at.map(|at| json!({ "deleteAt": date(at) })),
        ),
    ]);
    let arn = snapshot.arn();
    let told = (vec![arn.to_string()], detail);
    keep(
        tx,
        owner,
        (&arn, snapshot.name.as_str()),
        "Recovery Point State Change",
        told,
    )
}

/// What became of a vault.
///
/// # Errors
/// The catalog's.
pub fn vault(tx: &mut dyn Tx, vault: &BackupVault, change: Change) -> Result<(), CatalogError> {
    let is_locked = (change == Change::Modified).then(|| vault.lock.is_some().to_string());
    let detail = members([
        ("backupVaultName", Some(json!(vault.name.as_str()))),
        ("state", Some(json!(change.as_str()))),
        ("isLocked", is_locked.map(|word| json!(word))),
    ]);
    let (owner, arn) = ((&vault.region, &vault.account), vault.arn());
    let told = (vec![arn.to_string()], detail);
    keep(
        tx,
        owner,
        (&arn, vault.name.as_str()),
        "Backup Vault State Change",
        told,
    )
}

/// What became of a plan.
///
/// # Errors
/// The catalog's.
pub fn plan(tx: &mut dyn Tx, plan: &BackupPlan, change: Change) -> Result<(), CatalogError> {
    let at = match change {
        Change::Created => ("creationDate", Some(date(plan.created_at))),
        Change::Modified => ("modifiedAt", Some(date(plan.body.written_at))),
        Change::Deleted => ("deletionDate", plan.deleted_at.map(date)),
    };
    let detail = members([
        ("backupPlanId", Some(json!(plan.id))),
        ("versionId", Some(json!(plan.body.version))),
        at,
        ("state", Some(json!(change.as_str()))),
    ]);
    let (owner, arn) = ((&plan.region, &plan.account), plan.arn());
    let told = (vec![arn.to_string()], detail);
    keep(
        tx,
        owner,
        (&arn, &plan.id),
        "Backup Plan State Change",
        told,
    )
}

/// That an account's settings of a region changed.
///
/// # Errors
/// The catalog's.
pub fn region_settings(tx: &mut dyn Tx, settings: &BackupSettings) -> Result<(), CatalogError> {
    let owner = (&settings.region, &settings.account);
    let detail = members([
        ("modifiedAt", Some(date(tx.now()))),
        ("ResourceTypeOptInPreference", Some(json!(settings.opt_in))),
        ("state", Some(json!(Change::Modified.as_str()))),
    ]);
    // It is of no resource; what stands for one is not told.
    let of = Arn::of(
        ArnKind::BackupVault,
        owner.0,
        owner.1,
        model::backup_vault::DEFAULT,
    );
    let told = (Vec::new(), detail);
    keep(
        tx,
        owner,
        (&of, owner.0.as_str()),
        "Region Setting State Change",
        told,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_milliseconds() {
        let at = Timestamp(1_594_849_111_152_999);
        assert_eq!(date(at), json!("2020-07-15T21:38:31.152Z"));
    }
}
