//! `StartBackupJob`: a backup on demand. Its recovery point is a snapshot, taken as
//! CreateDBClusterSnapshot takes one.
use std::{collections::BTreeMap, time::Duration};

use catalog::{CatalogExt, Tx, clusters, jobs as rows, keyed};
use model::{
    Arn, BackupJob, BackupJobKind, BackupJobState, ClusterStatus, RecoveryPoint, Snapshot,
    SnapshotKind, SnapshotName, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    actions::rds::describe_db_clusters::find,
    backup::{
        faults::{self, invalid, refused, shown},
        jobs,
        lifecycle::Lifecycle,
        points,
        tags::{self, TagMap},
        vaults,
    },
    keys::lookup::seconds,
    shapes::ClusterRef,
};
use service::{
    backups::records::{self, Asked},
    fault::Fault,
};

/// The shortest window, and how long a job may wait for its beginning by default, minutes.
const WINDOW_MIN: i64 = 60;
const START_WINDOW: i64 = 8 * 60;

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StartBackupJob {
    backup_vault_name: String,
    logically_air_gapped_backup_vault_arn: Option<String>,
    resource_arn: String,
    iam_role_arn: String,
    idempotency_token: Option<String>,
    start_window_minutes: Option<i64>,
    complete_window_minutes: Option<i64>,
    lifecycle: Option<Lifecycle>,
    #[serde(default)]
    recovery_point_tags: TagMap,
    #[serde(default)]
    backup_options: BTreeMap<String, String>,
    index: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Started {
    backup_job_id: String,
    recovery_point_arn: String,
    creation_date: f64,
    is_parent: bool,
}

impl Output for Started {}

impl Started {
    fn of(job: &BackupJob) -> Self {
        Self {
            backup_job_id: job.id.clone(),
            recovery_point_arn: job.point_arn().to_string(),
            creation_date: seconds(job.created_at),
            is_parent: false,
        }
    }
}

impl Action for StartBackupJob {
    const NAME: &'static str = "StartBackupJob";
    const API: Api = Api::Backup;
    type Output = Started;

    async fn run(self, cx: &ActionContext) -> Result<Started, Fault> {
        self.only_what_is_here()?;
        let (start_by, complete_by) = self.windows(cx.service.now())?;
        let lifecycle = Lifecycle::read(self.lifecycle.as_ref())?;
        role(&self.iam_role_arn)?;
        let given_tags = tags::records(&self.recovery_point_tags)?;
        let action = "backup:StartBackupJob";
        let vault = vaults::find(cx, &self.backup_vault_name, action).await?;
        let wanted = resource(cx, &self.resource_arn)?;
        let token = self.idempotency_token;
        if let Some(job) = jobs::begun(cx, BackupJobKind::Backup, token.as_deref()).await? {
            return Ok(Started::of(&job));
        }

        let found = find(cx, &wanted).await.map_err(faults::of_rds)?;
        let cluster = &found.cluster;
        available(cluster)?;
        let id = cx.service.entropy.uuid();
        let mut all_tags = cluster.tags.clone();
        tags::merge(&mut all_tags, &given_tags)?;
        let asked = Asked {
            name: SnapshotName::of_backup("job", &id),
            kind: SnapshotKind::Backup,
            tags: all_tags,
        };
        let prepared = records::prepare(&cx.service, cluster, found.port(), asked).await;
        let (mut snapshot, body) = prepared.map_err(faults::of_rds)?;
        let point = RecoveryPoint {
            vault: vault.name,
            job: id.to_string(),
            resource: cluster.arn(),
            iam_role: self.iam_role_arn,
            lifecycle,
            completed_at: None,
        };
        let record = record(&snapshot, &point, token, (start_by, complete_by));
        snapshot.recovery_point = Some(point);
        let job = records::job(&cx.service, cluster, found.node(), &snapshot, &body);
        let kept = cx.service.catalog.write(move |tx| {
            let token = record.idempotency_token.as_deref();
            let owner = (&record.region, &record.account);
            if let Some(begun) = jobs::of_token(tx, owner, record.kind, token)? {
                return Ok(begun);
            }
            begin(tx, &snapshot, &record)?;
            rows::insert(tx, &job)?;
            Ok::<_, Fault>(record.clone())
        });
        Ok(Started::of(&kept.await?))
    }
}

impl StartBackupJob {
    /// Refuses what there is none of.
    fn only_what_is_here(&self) -> Result<(), Fault> {
        if let Some(vault) = &self.logically_air_gapped_backup_vault_arn {
            return Err(refused(
                vault,
                "There are no logically air-gapped vaults here.",
            ));
        }
        if let Some(option) = self.backup_options.keys().next() {
            let message = "BackupOptions are for Windows VSS, and not for DB clusters.";
            return Err(refused(option, message));
        }
        match self.index.as_deref() {
            None | Some("DISABLED") => Ok(()),
            Some(other) => Err(refused(
                other,
                "Backup indexes are not for DB clusters: Index can only be DISABLED.",
            )),
        }
    }

    /// When the job has to have begun, and to be through. It begins at once.
    fn windows(&self, now: Timestamp) -> Result<(Timestamp, Option<Timestamp>), Fault> {
        let start = self.start_window_minutes.unwrap_or(START_WINDOW);
        if start < WINDOW_MIN {
            return Err(invalid(
                "StartWindowMinutes",
                format!("StartWindowMinutes must be at least {WINDOW_MIN}."),
            ));
        }
        if self
            .complete_window_minutes
            .is_some_and(|complete| complete < start + WINDOW_MIN)
        {
            return Err(invalid(
                "CompleteWindowMinutes",
                format!(
                    "CompleteWindowMinutes must be at least {WINDOW_MIN} minutes greater than StartWindowMinutes."
                ),
            ));
        }
        let after = |minutes: i64| {
            let minutes = u64::try_from(minutes).unwrap_or_default();
            now.plus(Duration::from_secs(minutes.saturating_mul(60)))
        };
        Ok((after(start), self.complete_window_minutes.map(after)))
    }
}

/// A new job's record.
fn record(
    snapshot: &Snapshot,
    point: &RecoveryPoint,
    idempotency_token: Option<String>,
    (start_by, complete_by): (Timestamp, Option<Timestamp>),
) -> BackupJob {
    BackupJob {
        region: snapshot.region.clone(),
        account: snapshot.account.clone(),
        id: point.job.clone(),
        kind: BackupJobKind::Backup,
        state: BackupJobState::Running,
        message: None,
        vault: point.vault.clone(),
        resource: point.resource.clone(),
        resource_name: snapshot.cluster_name.to_string(),
        resource_type: points::resource_type(&snapshot.engine).to_owned(),
        snapshot: snapshot.name.clone(),
        kms_key: snapshot.kms_key.clone(),
        iam_role: point.iam_role.clone(),
        lifecycle: point.lifecycle.clone(),
        idempotency_token,
        created_at: snapshot.recorded_at,
        start_by,
        complete_by,
        ended_at: None,
        bytes: None,
    }
}

/// Makes the recovery point's record and the job's, if all that was checked still holds.
fn begin(tx: &mut dyn Tx, snapshot: &Snapshot, record: &BackupJob) -> Result<(), Fault> {
    vaults::get(tx, &record.region, &record.account, &record.vault)?;
    let still = clusters::get_by_resource_id(tx, &snapshot.cluster_resource_id)?;
    let still = still.ok_or_else(|| missing(&record.resource.to_string()))?;
    available(&still.value)?;
    records::insert(tx, snapshot.clone())?;
    keyed::insert(tx, record.clone())?;
    Ok(())
}

/// The cluster that a resource's ARN names: the caller's, in the asked region.
fn resource(cx: &ActionContext, given: &str) -> Result<ClusterRef, Fault> {
    let arn = Arn::parse(given).ok();
    let wanted = arn.and_then(|arn| ClusterRef::of_arn(&arn, given));
    let wanted = wanted.ok_or_else(|| {
        invalid(
            given,
            format!("{} is not the ARN of a DB cluster.", shown(given)),
        )
    })?;
    match *wanted.account() == cx.caller.account && *wanted.region() == cx.region {
        true => Ok(wanted),
        false => Err(missing(given)),
    }
}

fn missing(given: &str) -> Fault {
    faults::not_found(given, format!("Resource {} cannot be found.", shown(given)))
}

fn available(cluster: &model::Cluster) -> Result<(), Fault> {
    match cluster.status {
        ClusterStatus::Available => Ok(()),
        _ => Err(refused(
            &cluster.arn().to_string(),
            format!("DB cluster {} is not in the available state.", cluster.name),
        )),
    }
}

/// Refuses what is no role's ARN. Which role it is counts for nothing: there is no IAM.
fn role(given: &str) -> Result<(), Fault> {
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
