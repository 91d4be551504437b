//! The record that a new cluster begins with.
use model::{
    BackupState, Cluster, ClusterName, ClusterStatus, ResourceId, VolumeId, VolumeRef, Window,
    backups::default_window,
};

use super::{
    request::ClusterMembers,
    rules::{maintenance_window, window, zones},
};
use crate::{
    action::ActionContext,
    shapes::{self, Tag},
};
use service::fault::Fault;

/// What makes a new cluster the one it is.
pub(crate) struct New<'a> {
    pub(crate) name: ClusterName,
    pub(crate) engine: &'a str,
    pub(crate) engine_version: String,
    pub(crate) master_username: String,
    pub(crate) database_name: Option<String>,
    pub(crate) zones: &'a [String],
    pub(crate) tags: &'a [Tag],
}

/// The record of a new cluster, of which nothing is there yet and nothing is sealed.
///
/// # Errors
/// What is refused, and what is out of its rules.
pub(crate) fn new_cluster(
    cx: &ActionContext,
    new: New<'_>,
    members: ClusterMembers,
) -> Result<Cluster, Fault> {
    let now = cx.service.now();
    let [a, b, c, d, ..] = cx.service.entropy.draw();
    let draw = u32::from_le_bytes([a, b, c, d]);
    let mut cluster = Cluster {
        region: cx.region.clone(),
        account: cx.caller.account.clone(),
        name: new.name,
        resource_id: ResourceId::draw(&*cx.service.entropy),
        status: ClusterStatus::Creating,
        created_at: now,
        engine: new.engine.to_owned(),
        engine_version: new.engine_version,
        master_username: new.master_username,
        database_name: new.database_name,
        storage_encrypted: false,
        kms_key: None,
        volume: new_volume(cx),
        base: None,
        copy_tags_to_snapshot: false,
        deletion_protection: false,
        backup_retention_days: 1,
        preferred_backup_window: backup_window(&members, default_window(&cx.region, draw))?.text(),
        availability_zones: zones(&cx.region, new.zones)?,
        engine_mode: "provisioned".to_owned(),
        storage_type: None,
        allocated_storage_gib: 1,
        iops: None,
        instance_class: None,
        tags: shapes::to_records(new.tags)?,
        failure: None,
        percent_progress: None,
        options: Box::default(),
        pending: Box::default(),
        restarts_at: None,
        backups: BackupState::default(),
        master_secret: None,
        logs: Vec::new(),
        spread: None,
    };
    members.apply(&mut cluster)?;
    may_be_multi_az(&cluster)?;
    Ok(cluster)
}

/// A Multi-AZ DB cluster has readers from its creation.
fn may_be_multi_az(cluster: &Cluster) -> Result<(), Fault> {
    let profile = engine::profile(&cluster.engine);
    let can_wait = profile.is_none_or(|profile| profile.waits_for_followers);
    match cluster.is_multi_az() && !can_wait {
        true => Err(Fault::combination(format!(
            "Multi-AZ DB clusters of the engine {} are not there: leave out DBClusterInstanceClass.",
            cluster.engine
        ))),
        false => Ok(()),
    }
}

/// The backup window of a new cluster: the given one, which its maintenance window then follows; else
/// the drawn one, or the first half hour behind it that leaves the given maintenance window alone.
fn backup_window(members: &ClusterMembers, drawn: Window) -> Result<Window, Fault> {
    if let Some(given) = &members.preferred_backup_window {
        return window(given);
    }
    let given = members.preferred_maintenance_window.as_deref();
    let Some(weekly) = given.map(maintenance_window).transpose()? else {
        return Ok(drawn);
    };
    let mut later = (0..24 * 60).map(|minutes| drawn.later(minutes));
    Ok(later
        .find(|daily| !weekly.overlaps(*daily))
        .unwrap_or(drawn))
}

/// A new lineage that begins with this request.
fn new_volume(cx: &ActionContext) -> VolumeRef {
    VolumeRef {
        origin: cx.region.clone(),
        account: cx.caller.account.clone(),
        id: VolumeId::draw(&*cx.service.entropy),
    }
}
