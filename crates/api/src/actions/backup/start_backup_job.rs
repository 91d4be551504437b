//! `StartBackupJob`: a backup on demand. Its recovery point is a snapshot, taken as
//! CreateDBClusterSnapshot takes one.
use std::{collections::BTreeMap, time::Duration};

use catalog::{CatalogExt, clusters};
use model::{Arn, BackupJob, BackupJobKind, BackupJobState, ClusterStatus, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    action::{Action, ActionContext, Api, Output},
    actions::rds::describe_db_clusters::find,
    backup::{
        faults::{self, invalid, refused, shown},
        jobs,
        lifecycle::Lifecycle,
        tags::{self, TagMap},
        vaults,
    },
    keys::metadata::seconds,
    shapes::ClusterRef,
};
use service::{
    backup_jobs::{backup, record, vaults::lock_refusal},
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
        jobs::role(&self.iam_role_arn)?;
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
        let mut all_tags = cluster.tags.clone();
        tags::merge(&mut all_tags, &given_tags)?;
        let (id, now) = (cx.service.entropy.uuid(), cx.service.now());
        let job = BackupJob {
            state: BackupJobState::Running,
            kms_key: cluster.kms_key.clone(),
            iam_role: self.iam_role_arn,
            lifecycle,
            idempotency_token: token,
            start_by,
            complete_by,
            tags: given_tags,
            ..BackupJob::of_cluster(cluster, vault.name.clone(), &id, now)
        };
        if let Some(why) = lock_refusal(&vault, &job) {
            return fail(cx, job, why).await;
        }
        let place = found.place();
        let prepared = backup::prepare(&cx.service, &job, cluster, place).await;
        let (snapshot, work) = prepared.map_err(faults::of_rds)?;
        let kept = cx.service.catalog.write(move |tx| {
            let (owner, token) = (
                (&job.region, &job.account),
                job.idempotency_token.as_deref(),
            );
            if let Some(begun) = jobs::of_token(tx, owner, job.kind, token)? {
                return Ok(begun);
            }
            vaults::get(tx, &job.region, &job.account, &job.vault)?;
            let still = clusters::get_by_resource_id(tx, &snapshot.cluster_resource_id)?;
            let still = still.ok_or_else(|| missing(&job.resource.to_string()))?;
            available(&still.value)?;
            let prepared = (&snapshot, &work);
            Ok::<_, Fault>(backup::insert_begun(tx, job.clone(), prepared)?)
        });
        Ok(Started::of(&kept.await?))
    }
}

/// Keeps a job that cannot be done, with the reason, as AWS Backup does.
async fn fail(cx: &ActionContext, job: BackupJob, why: String) -> Result<Started, Fault> {
    let failed = job.failed(why);
    let kept = cx.service.catalog.write(move |tx| {
        let (owner, token) = (
            (&failed.region, &failed.account),
            failed.idempotency_token.as_deref(),
        );
        if let Some(begun) = jobs::of_token(tx, owner, failed.kind, token)? {
            return Ok(begun);
        }
        Ok::<_, Fault>(record::insert(tx, failed.clone())?.value)
    });
    Ok(Started::of(&kept.await?))
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
