//! Recovery points: the snapshots that AWS Backup keeps in vaults.
use catalog::{CatalogError, CatalogExt, Stored, Tx, recovery_points as rows, snapshots};
use model::{
    Account, Arn, ArnKind, BackupVaultName, RecoveryPoint, Region, Snapshot, SnapshotName,
    SnapshotStatus, Tag, backup_job::resource_type,
};
use serde::Serialize;

use super::{
    faults::{invalid, not_found, shown},
    jobs::CreatedBy,
    lifecycle::{CalculatedLifecycle, Lifecycle},
    page,
    vaults::VAULT_TYPE,
};
use crate::{
    action::ActionContext,
    keys::metadata::seconds,
    shapes::{Page, SnapshotRef},
};
use service::fault::Fault;

/// Rows that are read at once.
const BATCH: usize = 500;

/// A page of a vault's recovery points that pass, or of all of the caller's, by name, and the token of
/// the next.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) async fn page(
    cx: &ActionContext,
    vault: Option<BackupVaultName>,
    (max_results, token): (Option<i64>, Option<&str>),
    passes: impl Fn(&Snapshot) -> bool + Send + Sync + 'static,
) -> Result<(Vec<Snapshot>, Option<String>), Fault> {
    let page: Page<SnapshotName> = page::asked(max_results, token)?;
    let (account, region, rows) = (cx.caller.account.clone(), cx.region.clone(), page.rows);
    let found = cx.service.catalog.read(move |tx| {
        let (mut found, mut after) = (Vec::new(), page.after.clone());
        let owner = (&region, &account);
        // One more than the page tells that there is another.
        while found.len() <= rows {
            let after_name = after.as_ref();
            let batch = match &vault {
                Some(vault) => rows::in_vault(tx, owner, vault, after_name, BATCH)?,
                None => rows::of_account(tx, owner, None, after_name, BATCH)?,
            };
            let Some(last) = batch.last() else { break };
            after = Some(last.value.name.clone());
            let batch = batch.into_iter().map(|row| row.value);
            found.extend(batch.filter(|one| passes(one)));
        }
        Ok::<_, CatalogError>(found)
    });
    let mut found = found.await?;
    let more = rows < found.len();
    found.truncate(rows);
    let last = found.last().filter(|_| more);
    let next = last.map(|last| Page::marker(&last.name));
    Ok((found, next))
}

/// Which recovery point an ARN names.
///
/// # Errors
/// `InvalidParameterValueException` for what is no snapshot's ARN.
pub(crate) fn wanted(cx: &ActionContext, given: &str) -> Result<SnapshotRef, Fault> {
    let arn = Arn::parse(given).ok();
    let read = arn.and_then(|arn| SnapshotRef::of_arn(&arn, given));
    let wanted = read.ok_or_else(|| {
        let message = format!("{} is not the ARN of a recovery point.", shown(given));
        invalid(given, message)
    })?;
    match *wanted.account() == cx.caller.account && *wanted.region() == cx.region {
        true => Ok(wanted),
        false => Err(missing(given)),
    }
}

/// What is said of a recovery point that is not there.
pub(crate) fn missing(given: &str) -> Fault {
    let message = format!("Recovery point {} cannot be found.", shown(given));
    not_found(given, message)
}

/// A recovery point of a vault.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) fn get(
    tx: &mut dyn Tx,
    wanted: &SnapshotRef,
    vault: &BackupVaultName,
    given: &str,
) -> Result<Stored<Snapshot>, Fault> {
    let found = wanted.get(tx)?;
    let is_there = |stored: &Stored<Snapshot>| {
        let point = stored.value.recovery_point.as_ref();
        point.is_some_and(|point| point.vault == *vault)
    };
    found.filter(is_there).ok_or_else(|| missing(given))
}

/// The word for where a recovery point stands. One that could not be made whole is `PARTIAL`, one that
/// is kept beyond its time `EXPIRED`.
fn status(snapshot: &Snapshot, point: &RecoveryPoint) -> &'static str {
    match snapshot.status {
        _ if point.kept.is_some() => "EXPIRED",
        SnapshotStatus::Creating | SnapshotStatus::Copying => "CREATING",
        SnapshotStatus::Available => "COMPLETED",
        SnapshotStatus::Failed => "PARTIAL",
    }
}

/// Why it stands there, where that needs a word.
fn message(snapshot: &Snapshot, point: &RecoveryPoint) -> Option<String> {
    let kept = point.kept.as_ref();
    let kept = kept.map(|why| format!("Its lifecycle is over, and it is kept: {why}."));
    kept.or_else(|| snapshot.failure.as_ref().map(|why| why.as_str().to_owned()))
}

/// A recovery point in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ShownPoint {
    pub(crate) recovery_point_arn: String,
    pub(crate) backup_vault_name: String,
    pub(crate) backup_vault_arn: String,
    pub(crate) resource_arn: String,
    pub(crate) resource_type: &'static str,
    pub(crate) resource_name: String,
    pub(crate) iam_role_arn: String,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_message: Option<String>,
    pub(crate) creation_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) completion_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backup_size_in_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calculated_lifecycle: Option<CalculatedLifecycle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle: Option<Lifecycle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<CreatedBy>,
    pub(crate) is_encrypted: bool,
    pub(crate) is_parent: bool,
    pub(crate) vault_type: &'static str,
}

/// A snapshot that is a recovery point, in an answer.
pub(crate) fn show(snapshot: &Snapshot) -> Option<ShownPoint> {
    let point = snapshot.recovery_point.as_ref()?;
    Some(ShownPoint::of(snapshot, point))
}

/// Where the plan is that a recovery point follows: where its job is.
fn owner_of<'a>(snapshot: &'a Snapshot, point: &'a RecoveryPoint) -> (&'a Region, &'a Account) {
    match &point.job_at {
        Some(place) => (&place.region, &place.account),
        None => (&snapshot.region, &snapshot.account),
    }
}

impl ShownPoint {
    /// Its owner's view.
    fn of(snapshot: &Snapshot, point: &RecoveryPoint) -> Self {
        let vault = Arn::of(
            ArnKind::BackupVault,
            &snapshot.region,
            &snapshot.account,
            point.vault.as_str(),
        );
        Self {
            recovery_point_arn: snapshot.arn().to_string(),
            backup_vault_name: point.vault.to_string(),
            backup_vault_arn: vault.to_string(),
            resource_arn: point.resource.to_string(),
            resource_type: resource_type(&snapshot.engine),
            resource_name: snapshot.cluster_name.to_string(),
            iam_role_arn: point.iam_role.clone(),
            status: status(snapshot, point),
            status_message: message(snapshot, point),
            creation_date: seconds(snapshot.recorded_at),
            completion_date: point.completed_at.map(seconds),
            backup_size_in_bytes: snapshot.content.as_ref().map(|one| one.logical_bytes),
            calculated_lifecycle: CalculatedLifecycle::of(point.delete_at(snapshot.recorded_at)),
            lifecycle: Lifecycle::of(&point.lifecycle),
            encryption_key_arn: snapshot.kms_key.as_ref().map(Arn::to_string),
            created_by: CreatedBy::of(owner_of(snapshot, point), point.rule.as_ref()),
            is_encrypted: snapshot.storage_encrypted,
            is_parent: false,
            vault_type: VAULT_TYPE,
        }
    }
}

/// Reads the ARN of a resource that was backed up. It may be gone by now.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn resource_arn(given: &str) -> Result<Arn, Fault> {
    Arn::parse(given).map_err(|_| {
        let message = format!("{} is not the ARN of a resource.", shown(given));
        invalid(given, message)
    })
}

/// Whether an ARN is of the kind that recovery points have.
pub(crate) fn is_arn(given: &str) -> bool {
    let arn = Arn::parse(given).ok();
    arn.is_some_and(|arn| arn.kind() == Some(ArnKind::ClusterSnapshot))
}

/// A recovery point in whichever vault.
///
/// # Errors
/// `ResourceNotFoundException`.
pub(crate) fn anywhere(
    tx: &mut dyn Tx,
    wanted: &SnapshotRef,
    given: &str,
) -> Result<Stored<Snapshot>, Fault> {
    let found = wanted.get(tx)?;
    let found = found.filter(|stored| stored.value.recovery_point.is_some());
    found.ok_or_else(|| missing(given))
}

/// A recovery point's tags, which are its snapshot's.
pub(crate) async fn tags(cx: &ActionContext, given: &str) -> Result<Vec<Tag>, Fault> {
    let (wanted, given) = (wanted(cx, given)?, given.to_owned());
    let found = cx
        .service
        .catalog
        .read(move |tx| anywhere(tx, &wanted, &given));
    Ok(found.await?.value.tags)
}

/// Changes a recovery point's tags.
pub(crate) async fn retag(
    cx: &ActionContext,
    given: &str,
    change: impl Fn(&mut Vec<Tag>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Result<(), Fault> {
    let (wanted, given) = (wanted(cx, given)?, given.to_owned());
    let changed = cx.service.catalog.write(move |tx| {
        let mut stored = anywhere(tx, &wanted, &given)?;
        change(&mut stored.value.tags)?;
        snapshots::update(tx, stored)?;
        Ok(())
    });
    changed.await
}
