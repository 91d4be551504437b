//! `CopyDBClusterSnapshot` from a region that another deployment hosts.
//!
//! The same checks in the same order as in [`super`]: those of the
//! source are the source region's, asked over the link; those of the target are made here.
use catalog::CatalogExt;
use model::{Content, Snapshot, SnapshotKind, SnapshotName, SnapshotStatus};

use super::{CopyDbClusterSnapshot, carried_tags, commit, copier, target_is_free};
use crate::{
    action::ActionContext,
    shapes::{self, SnapshotOutput, SnapshotRef},
};
use service::{
    copies::{copyable, key_without_encryption, no_key_across_regions, reencrypt},
    fault::Fault,
    keys::{RdsUse, TargetKey, snapshot_context},
    link::{TicketAsk, http::RemoteRegion, message::Offered},
};

impl CopyDbClusterSnapshot {
    /// Asks the source region, wraps the key that it gives for the target, and leaves the bytes
    /// to a job.
    pub(super) async fn copy_from_peer(
        &self,
        cx: &ActionContext,
        there: RemoteRegion<'_>,
        wanted: SnapshotRef,
        target: SnapshotName,
    ) -> Result<SnapshotOutput, Fault> {
        let arn = wanted.arn();
        let ask = TicketAsk {
            caller: cx.caller.account.clone(),
            source: arn.clone(),
            source_given: self.source.clone(),
            kms_key_id: self.kms_key_id.clone(),
            pre_signed_url: self.pre_signed_url.clone(),
        };
        let offer = there.ticket(&ask).await?;
        let source = snapshot_of(&wanted, &offer.snapshot);
        copyable(&source, cx.service.settings.refuse_multi_az_copies)?;
        let mut tags = shapes::to_records(&self.tags)?;
        if tags.is_empty() && self.copy_tags == Some(true) {
            tags = carried_tags(&source, &cx.caller.account)?;
        }
        let (account, region, name) =
            (cx.caller.account.clone(), cx.region.clone(), target.clone());
        let limit = cx.service.settings.manual_snapshots_max;
        cx.service
            .catalog
            .read(move |tx| target_is_free(tx, &account, &region, &name, limit))
            .await?;

        let copier = copier(cx);
        let mut copy = copier.record(&source, (target, SnapshotKind::Manual, tags));
        let here = RdsUse::new(&*cx.service.keys, &cx.caller.account, &cx.region);
        let key = match (source.storage_encrypted, &self.kms_key_id) {
            (false, None) => None,
            (false, Some(_)) => return Err(key_without_encryption()),
            (true, None) => return Err(no_key_across_regions()),
            (true, Some(given)) => Some(here.target(given).await?),
        };
        let key_arn = key.as_ref().map(TargetKey::arn);
        let asked = (&cx.caller.account, &arn);
        let (data_key, pass) = there.redeem(asked, &offer, key_arn.as_ref()).await?;
        let mut content = source
            .content
            .clone()
            .expect("an offered snapshot has its content");
        if let (Some(key), Some(data_key)) = (&key, &data_key) {
            let context = snapshot_context(&copy.account, &copy.uid, &content.volume);
            content.wrapped_key = Some(here.wrap(key, data_key, context).await?);
        }
        let reencryption = match reencrypt::applies_across(&copier, &source) {
            true => Some(reencrypt::begin(&here, key.as_ref(), &copy, &content.volume).await?),
            false => None,
        };
        copy.kms_key = key_arn;
        copy.content = Some(content);
        let job = match reencryption {
            Some(reencryption) => {
                reencrypt::job(&copier, &source, &mut copy, reencryption, Some(pass))
            }
            None => copier.job(&source, &copy, Some(pass)),
        };
        let kept = commit(cx, None, copy, Some(job)).await?;
        Ok(SnapshotOutput::of(&kept))
    }
}

/// The source's record, as far as a copy needs it.
fn snapshot_of(wanted: &SnapshotRef, offered: &Offered) -> Snapshot {
    let offered = offered.clone();
    Snapshot {
        region: wanted.region().clone(),
        account: wanted.account().clone(),
        name: offered.name,
        uid: offered.uid,
        status: SnapshotStatus::Available,
        percent_progress: 100,
        kind: SnapshotKind::Manual,
        created_at: offered.created_at,
        recorded_at: offered.created_at,
        cluster_name: offered.cluster_name,
        cluster_resource_id: offered.cluster_resource_id,
        cluster_created_at: offered.cluster_created_at,
        engine: offered.engine,
        engine_version: offered.engine_version,
        engine_mode: offered.engine_mode,
        master_username: offered.master_username,
        port: offered.port,
        cluster_port: offered.cluster_port,
        allocated_storage_gib: offered.allocated_storage_gib,
        storage_type: offered.storage_type,
        availability_zones: Vec::new(),
        storage_encrypted: offered.storage_encrypted,
        kms_key: None,
        source: None,
        content: Some(Content {
            volume: offered.volume,
            manifest: offered.manifest,
            wrapped_key: None,
            logical_bytes: offered.logical_bytes,
            stored_bytes: offered.stored_bytes,
        }),
        shared_with: Vec::new(),
        in_log: None,
        tags: offered.tags,
        failure: None,
        recovery_point: None,
    }
}
