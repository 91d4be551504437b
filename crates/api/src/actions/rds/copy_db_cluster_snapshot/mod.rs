//! `CopyDBClusterSnapshot`: the action this project exists for.
//!
//! Source: API_CopyDBClusterSnapshot and "Copying a DB cluster snapshot" (Aurora User Guide).
//! Checks run in one fixed order: identifiers, source, its state, tags, target, quotas, keys.
//! In one region the copy is this action's one commit; from another region, and where it is
//! sealed anew, it is a job.
mod from_peer;
mod reencrypt;

use catalog::{CatalogError, CatalogExt, Stored, Tx, jobs, snapshots};
use model::{
    Arn, Content, JobKind, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus,
    job::{Pin, Subject},
};
use serde::Deserialize;

use crate::{
    action::{Action, ActionContext, Api},
    presigned,
    shapes::{self, SnapshotOutput, SnapshotRef, Tag},
};
use service::{
    auth::presigned::Outer,
    backups::records,
    fault::{Code, Fault},
    jobs::{
        JobType,
        copy_document::{self, Reencryption},
        copy_snapshot::CopySnapshot,
        new_job,
    },
    keys::{RdsUse, snapshot_context},
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

        let mut copy = target_record(cx, source, target, tags);
        let crosses = source.region != cx.region;
        let reencryption = self
            .seal(cx, source, content.clone(), &mut copy, crosses)
            .await?;
        let job = match reencryption {
            Some(reencryption) => Some(reencrypt::job(cx, source, &mut copy, reencryption, None)),
            None => crosses.then(|| copy_job(cx, source, &copy, None)),
        };
        let kept = commit(cx, Some((wanted, found)), copy, job).await?;
        Ok(SnapshotOutput::of(&kept))
    }
}

impl CopyDbClusterSnapshot {
    /// Decides the copy's key, and wraps the data key for it: from here on the copy needs
    /// nothing of the source's key. Answers how it is to be sealed anew, when it is.
    async fn seal(
        &self,
        cx: &ActionContext,
        source: &Snapshot,
        mut content: Content,
        copy: &mut Snapshot,
        crosses: bool,
    ) -> Result<Option<Reencryption>, Fault> {
        let mut reencryption = None;
        let shared = source.account != cx.caller.account;
        match (&content.wrapped_key, &self.kms_key_id) {
            (None, None) => {}
            (None, Some(_)) => return Err(key_without_encryption()),
            (Some(_), None) if crosses => return Err(no_key_across_regions()),
            (Some(_), None) if shared => {
                return Err(Fault::value(
                    "KmsKeyId must be specified to copy an encrypted snapshot that another account shared.",
                ));
            }
            (Some(wrapped), given) => {
                // The source's key is used in the source's region, the target's in this one.
                let at_source = RdsUse::new(&*cx.service.keys, &cx.caller.account, &source.region);
                let here = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
                let data_key = at_source.unwrap_source(wrapped).await?;
                let same = || wrapped.key.to_string();
                let target = given.clone().unwrap_or_else(same);
                if reencrypt::is_set(cx) {
                    let key = here.target(&target).await?;
                    if reencrypt::applies(cx, source, wrapped, &key) {
                        reencryption =
                            Some(reencrypt::begin(&here, Some(&key), copy, &content.volume).await?);
                    }
                }
                let context = snapshot_context(&copy.account, &copy.uid, &content.volume);
                let wrapped = here.wrap_for(&target, &data_key, context).await?;
                copy.kms_key = Some(wrapped.key.clone());
                content.wrapped_key = Some(wrapped);
            }
        }
        copy.content = Some(content);
        Ok(reencryption)
    }
}

/// An unencrypted snapshot has unencrypted copies.
pub(super) fn key_without_encryption() -> Fault {
    Fault::value(
        "KmsKeyId cannot be specified for an unencrypted DB cluster snapshot: its copies are \
         unencrypted too. Restore it with a KmsKeyId to get an encrypted cluster.",
    )
}

/// A key is of one region.
pub(super) fn no_key_across_regions() -> Fault {
    Fault::value("Must specify new KMS key for cross region encrypted snapshot copy.")
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

/// RDS copies no snapshots of Multi-AZ DB clusters ("Limitations for Multi-AZ DB clusters").
pub(super) fn copyable(source: &Snapshot, refuse_multi_az: bool) -> Result<(), Fault> {
    if !refuse_multi_az || source.engine.starts_with("aurora") {
        return Ok(());
    }
    Err(Fault::new(
        Code::InvalidDbClusterSnapshotState,
        format!(
            "Cannot copy the snapshot because it is of a Multi-AZ DB cluster: {} has the engine {}.",
            source.name, source.engine
        ),
    ))
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

/// The copy's record: what it inherits, and what is its own.
pub(super) fn target_record(
    cx: &ActionContext,
    source: &Snapshot,
    name: SnapshotName,
    tags: Vec<model::Tag>,
) -> Snapshot {
    let crosses = source.region != cx.region;
    Snapshot {
        region: cx.region.clone(),
        account: cx.caller.account.clone(),
        name,
        uid: cx.service.entropy.uuid(),
        status: if crosses {
            SnapshotStatus::Copying
        } else {
            SnapshotStatus::Available
        },
        percent_progress: if crosses { 0 } else { 100 },
        kind: SnapshotKind::Manual,
        recorded_at: cx.service.now(),
        availability_zones: if crosses {
            shapes::zones_of(&cx.region)
        } else {
            source.availability_zones.clone()
        },
        kms_key: None,
        source: Some(source.arn()),
        content: None,
        shared_with: Vec::new(),
        in_log: None,
        tags,
        failure: None,
        recovery_point: None,
        ..source.clone()
    }
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

pub(super) fn copy_job(
    cx: &ActionContext,
    source: &Snapshot,
    copy: &Snapshot,
    pass: Option<String>,
) -> model::Job {
    let content = copy
        .content
        .clone()
        .expect("a copy's content was decided before its job");
    let pin = |region: &model::Region| Pin {
        region: region.clone(),
        volume: content.volume.clone(),
        manifest: Some(content.manifest),
    };
    // What another deployment keeps is not ours to pin.
    let pins = match &pass {
        None => vec![pin(&source.region), pin(&copy.region)],
        Some(_) => vec![pin(&copy.region)],
    };
    let body = copy_document::Body {
        snapshot: copy.uid,
        source: Arn::clone(&source.arn()),
        source_region: source.region.clone(),
        content,
        pass,
        reencryption: None,
    };
    let subject = Subject::snapshot(&copy.region, &copy.account, &copy.name);
    let mut job = new_job::<CopySnapshot>(&cx.service, subject, &body);
    job.pins = pins;
    job
}
