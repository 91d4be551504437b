//! `CopyDBClusterSnapshot`: the action this project exists for.
//!
//! Source: API_CopyDBClusterSnapshot and "Copying a DB cluster snapshot" (Aurora User Guide).
//! Checks run in one fixed order: identifiers, source, its state, tags, target, quotas, keys.
//! In one region the copy is this action's one commit; from another region, and where it is
//! sealed anew, it is a job.
mod from_peer;

use catalog::{CatalogError, CatalogExt, Stored, Tx, jobs, snapshots};
use model::{Content, JobKind, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    presigned,
    shapes::{self, SnapshotOutput, SnapshotRef, Tag},
};
use service::{
    auth::presigned::Outer,
    backups::records,
    copies::{Copier, copyable, reencrypt},
    fault::{Code, Fault},
    jobs::{JobType, copy_snapshot::CopySnapshot},
    link::http::RemoteRegion,
};

/// The input. The source region is the source ARN's, whatever a `PreSignedUrl` says.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CopyDbClusterSnapshot {
    #[serde(rename = "SourceDBClusterSnapshotIdentifier")]
    pub(super) source: String,
    #[serde(rename = "TargetDBClusterSnapshotIdentifier")]
    target: String,
    pub(super) kms_key_id: Option<String>,
    pub(super) copy_tags: Option<bool>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    pub(super) pre_signed_url: Option<String>,
    // The SDKs' own: never on the wire of a current one, harmless from an older one.
    #[serde(rename = "SourceRegion")]
    _source_region: Option<String>,
    #[serde(rename = "DestinationRegion")]
    _destination_region: Option<String>,
}

impl Action for CopyDbClusterSnapshot {
    const NAME: &'static str = "CopyDBClusterSnapshot";
    const API: Api = Api::Rds;
    type Output = SnapshotOutput;

    async fn run(self, cx: &ActionContext) -> Result<SnapshotOutput, Fault> {
        let (source_parameter, target_parameter) = (
            "SourceDBClusterSnapshotIdentifier",
            "TargetDBClusterSnapshotIdentifier",
        );
        let wanted = SnapshotRef::asked(source_parameter, &self.source, cx)?;
        let target = shapes::manual_snapshot(target_parameter, &self.target)?;
        partitions_meet(&wanted, cx)?;
        if let Some(source) = RemoteRegion::of(&cx.service, &cx.region, wanted.region()) {
            return self
                .copy_from_peer(cx, source, wanted.clone(), target)
                .await;
        }

        let given_tags = &self.tags;
        let read = (
            wanted.clone(),
            target.clone(),
            cx.caller.account.clone(),
            cx.region.clone(),
        );
        let limit = cx.service.settings.manual_snapshots_max;
        let found = cx
            .service
            .catalog
            .point_read(move |tx| {
                let (wanted, target, account, region) = &read;
                let source = locate(tx, wanted, account)?;
                let free = target_is_free(tx, account, region, target, limit);
                Ok::<_, Fault>((source, free))
            })
            .await?;
        let (found, free) = found;
        let source = &found.value;
        let content = ready(source)?;
        copyable(source, cx.service.settings.refuse_multi_az_copies)?;
        let mut tags = shapes::to_records(given_tags)?;
        if tags.is_empty() && self.copy_tags == Some(true) {
            tags = carried_tags(source, &cx.caller.account)?;
        }
        free?;
        let outer = Outer {
            action: Self::NAME,
            source: (source_parameter, &self.source),
            source_region: &source.region,
            kms_key_id: self.kms_key_id.as_deref(),
            encrypted_source: source.storage_encrypted.then(|| source.arn().to_string()),
        };
        presigned::check(cx, self.pre_signed_url.as_deref(), &outer).await?;

        let key = self.kms_key_id.as_deref();
        let (copy, job) = copier(cx)
            .prepare(source, content, (target, SnapshotKind::Manual, tags), key)
            .await?;
        let kept = commit(cx, Some((wanted, found)), copy, job).await?;
        Ok(SnapshotOutput::of(&kept))
    }
}

/// The caller, who copies for itself into the asked region.
pub(super) fn copier(cx: &ActionContext) -> Copier<'_> {
    Copier {
        context: &cx.service,
        reader: &cx.caller.account,
        account: &cx.caller.account,
        region: &cx.region,
    }
}

/// Snapshots do not leave their partition, and China's regions take no part in copies between regions.
fn partitions_meet(wanted: &SnapshotRef, cx: &ActionContext) -> Result<(), Fault> {
    let (from, to) = (wanted.region().partition(), cx.region.partition());
    let refused = from != to || (from == "aws-cn" && *wanted.region() != cx.region);
    if !refused {
        return if cx.service.settings.knows(wanted.region()) {
            Ok(())
        } else {
            Err(wanted.not_found())
        };
    }
    Err(Fault::value(format!(
        "A DB cluster snapshot of {} cannot be copied to {}.",
        wanted.region(),
        cx.region
    )))
}

/// Finds the source; what the caller may not see does not exist.
fn locate(
    tx: &mut dyn Tx,
    wanted: &SnapshotRef,
    caller: &model::Account,
) -> Result<Stored<Snapshot>, Fault> {
    let found = wanted.get(tx)?;
    found
        .filter(|source| source.value.is_open_to(caller))
        .ok_or_else(|| wanted.not_found())
}

fn ready(source: &Snapshot) -> Result<&Content, Fault> {
    let content = source
        .content
        .as_ref()
        .filter(|_| source.status == SnapshotStatus::Available);
    content.ok_or_else(|| Fault::not_available("copy", source))
}

/// The tags that a copy takes along with CopyTags. They are their owner's to see: a snapshot
/// that another account shared is described without them, and copied without them.
pub(super) fn carried_tags(
    source: &Snapshot,
    caller: &model::Account,
) -> Result<Vec<model::Tag>, Fault> {
    if source.account != *caller {
        return Ok(Vec::new());
    }
    model::tag::validate(&source.tags).map_err(shapes::tag_fault)?;
    Ok(source.tags.clone())
}

pub(super) fn target_is_free(
    tx: &mut dyn Tx,
    account: &model::Account,
    region: &model::Region,
    target: &SnapshotName,
    limit: usize,
) -> Result<(), Fault> {
    if snapshots::get(tx, region, account, target)?.is_some() {
        return Err(exists(target));
    }
    within_quota(tx, account, region, limit, 1)
}

/// Whether an account may have so many manual snapshots more than it has; what RDS says of one
/// too many.
pub(super) fn within_quota(
    tx: &mut dyn Tx,
    account: &model::Account,
    region: &model::Region,
    limit: usize,
    more: u64,
) -> Result<(), Fault> {
    if (limit as u64) < snapshots::count_manual(tx, region, account)? + more {
        return Err(Fault::new(
            Code::SnapshotQuotaExceeded,
            format!("Cannot create more than {limit} manual snapshots"),
        ));
    }
    Ok(())
}

/// Keeps a new snapshot's record.
pub(super) fn insert(tx: &mut dyn Tx, snapshot: Snapshot) -> Result<Snapshot, Fault> {
    let name = snapshot.name.clone();
    records::insert(tx, snapshot).map_err(|error| match error {
        CatalogError::Conflict { .. } => exists(&name),
        other => other.into(),
    })
}

fn exists(name: &SnapshotName) -> Fault {
    Fault::new(
        Code::DbClusterSnapshotAlreadyExists,
        format!(
            "Cannot create the cluster snapshot because one with the identifier {name} already exists."
        ),
    )
}

/// Makes the copy's record, and for a copy between regions its job, if all that was checked
/// still holds. A source of the version that was read is as it was then.
pub(super) async fn commit(
    cx: &ActionContext,
    source: Option<(SnapshotRef, Stored<Snapshot>)>,
    copy: Snapshot,
    job: Option<model::Job>,
) -> Result<Snapshot, Fault> {
    let settings = &cx.service.settings;
    let (snapshots_max, copies_max) = (
        settings.manual_snapshots_max,
        settings.cross_region_copies_max,
    );
    cx.service
        .catalog
        .write(move |tx| {
            if let Some((wanted, read)) = &source
                && !snapshots::is_still(tx, read)?
            {
                let now = locate(tx, wanted, &copy.account)?;
                if now.value.uid != read.value.uid {
                    return Err(wanted.not_found());
                }
            }
            let mut kept = copy.clone();
            if job.is_some() {
                // Its bytes are not here yet.
                kept.content = None;
            }
            // A name that is taken is told first, then the quotas: what they refuse is undone.
            let kept = insert(tx, kept)?;
            within_quota(tx, &copy.account, &copy.region, snapshots_max, 0)?;
            if let Some(job) = &job {
                let copies = JobKind::of(CopySnapshot::NAME);
                let running = jobs::count_open(tx, &copy.region, &copy.account, &copies)?;
                if copies_max as u64 <= running {
                    return Err(Fault::new(
                        Code::SnapshotQuotaExceeded,
                        format!("Cannot copy more than {copies_max} snapshots across regions"),
                    ));
                }
                let job = reencrypt::with_base(tx, job.clone(), &copy)?;
                jobs::insert(tx, &job)?;
            }
            Ok(kept)
        })
        .await
}
