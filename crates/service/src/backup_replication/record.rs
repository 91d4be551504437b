//! What a region's record says of a cluster whose backups are brought there.
use catalog::{
    CatalogError, CatalogExt, Tx, clusters as rows, instances::Member, keyed, retained_backups,
};
use model::{Arn, Cluster, ClusterStatus, LogStream, Region, RetainedBackup, Timestamp};

use super::log::Start;
use crate::{
    backups::retained,
    context::ServiceContext,
    jobs::JobError,
    keys::{AwsService, KeyUser, cluster_context},
    logs::bases,
};

/// The record over there, as the cluster now is: with the streams of its log, each under a key of that region.
///
/// # Errors
/// The catalog's and the keys'; `Gone` when the cluster is being deleted.
pub(super) async fn kept(
    context: &ServiceContext,
    member: &Member,
    region: &Region,
) -> Result<RetainedBackup, JobError> {
    let cluster = &member.cluster;
    let (at, id) = (region.clone(), cluster.resource_id.clone());
    let read = move |tx: &mut dyn Tx| retained_backups::get(tx, &at, &id);
    let before = context.catalog.read(read).await?.map(|stored| stored.value);
    let key = key(context, cluster, region, before.as_ref()).await?;
    let logs = streams(context, cluster, region, (before.as_ref(), key.as_ref())).await?;
    let wanted = RetainedBackup {
        cluster: far(cluster, region, key, logs),
        port: Some(member.instance.placement.port),
        deleted_at: None,
        brought_from: Some(cluster.region.clone()),
    };
    if before.as_ref() == Some(&wanted) {
        return Ok(wanted);
    }
    let kept = context.catalog.write(move |tx| {
        let (region, id) = (&wanted.cluster.region, &wanted.cluster.resource_id);
        let source = rows::get_by_resource_id(tx, id)?;
        if source.is_none_or(|source| source.value.status == ClusterStatus::Deleting) {
            return Err(JobError::Gone);
        }
        let kept = match retained_backups::get(tx, region, id)? {
            None => keyed::insert(tx, wanted.clone())?,
            Some(mut stored) => {
                stored.value = wanted.clone();
                keyed::update(tx, stored)?
            }
        };
        Ok(kept.value)
    });
    kept.await
}

/// The key over there: the account's default one, made at its first use.
async fn key(
    context: &ServiceContext,
    cluster: &Cluster,
    region: &Region,
    before: Option<&RetainedBackup>,
) -> Result<Option<Arn>, JobError> {
    if cluster.kms_key.is_none() {
        return Ok(None);
    }
    if let Some(key) = before.and_then(|before| before.cluster.kms_key.clone()) {
        return Ok(Some(key));
    }
    let made = context
        .keys
        .default_key(AwsService::Rds, &cluster.account, region);
    Ok(Some(made.await?))
}

/// The cluster's streams, as they are told over there.
async fn streams(
    context: &ServiceContext,
    cluster: &Cluster,
    region: &Region,
    (before, key): (Option<&RetainedBackup>, Option<&Arn>),
) -> Result<Vec<LogStream>, JobError> {
    let had = before.map_or(&[][..], |before| before.cluster.logs.as_slice());
    let needed = needed(context, cluster, region, had).await?;
    let mut streams = needed;
    for stream in &cluster.logs {
        if let Some(known) = had.iter().find(|one| one.id == stream.id) {
            streams.push(LogStream {
                ended_at: stream.ended_at,
                ..known.clone()
            });
            continue;
        }
        let wrapped_key = match (&stream.wrapped_key, key) {
            (Some(wrapped), Some(key)) => {
                let at_source = KeyUser::rds(&cluster.account, &cluster.region);
                let there = KeyUser::rds(&cluster.account, region);
                let plain = context.keys.unwrap(&at_source, wrapped).await?;
                let bound =
                    cluster_context(&cluster.account, &cluster.resource_id, &cluster.volume);
                Some(context.keys.wrap(&there, key, &plain, bound).await?)
            }
            _ => None,
        };
        streams.push(LogStream {
            wrapped_key,
            earliest: None,
            latest: None,
            ..stream.clone()
        });
    }
    Ok(streams)
}

/// Streams that the cluster has forgotten, and snapshots over there still lead on from.
async fn needed(
    context: &ServiceContext,
    cluster: &Cluster,
    region: &Region,
    had: &[LogStream],
) -> Result<Vec<LogStream>, JobError> {
    let is_forgotten = |stream: &&LogStream| !cluster.logs.iter().any(|one| one.id == stream.id);
    let forgotten: Vec<LogStream> = had.iter().filter(is_forgotten).cloned().collect();
    if forgotten.is_empty() {
        return Ok(forgotten);
    }
    let far = far(cluster, region, None, Vec::new());
    let read = move |tx: &mut dyn Tx| bases::of_cluster(tx, &far);
    let bases = context.catalog.read(read).await?;
    let leads = |stream: &LogStream| bases.iter().any(|base| base.in_log.stream == stream.id);
    Ok(forgotten.into_iter().filter(leads).collect())
}

/// The cluster as it is told over there. What is of its servers, and its secret, are not.
fn far(cluster: &Cluster, region: &Region, key: Option<Arn>, logs: Vec<LogStream>) -> Cluster {
    Cluster {
        region: region.clone(),
        status: ClusterStatus::Available,
        kms_key: key,
        availability_zones: region.zones(),
        base: None,
        failure: None,
        percent_progress: None,
        pending: Box::default(),
        restarts_at: None,
        backups: model::BackupState::default(),
        master_secret: None,
        spread: None,
        logs,
        ..cluster.clone()
    }
}

/// Notes how far the newest stream is over there: what was acknowledged until a moment is, from the first snapshot
/// on from which the log leads there. It is written down when asked for.
///
/// # Errors
/// The catalog's.
pub(super) async fn reach(
    context: &ServiceContext,
    far: &Cluster,
    leads: &[Start],
    until: Option<Timestamp>,
    tell: bool,
) -> Result<(), CatalogError> {
    let (Some(newest), Some(until)) = (far.logs.last().cloned(), until) else {
        return Ok(());
    };
    let of = far.clone();
    let read = move |tx: &mut dyn Tx| bases::of_cluster(tx, &of);
    let mut bases = context.catalog.read(read).await?;
    bases.retain(|base| leads.contains(&(base.in_log.stream, base.in_log.start)));
    let days = far.backup_retention_days;
    let first = bases::first_needed(&bases, newest.id, days, context.now());
    let Some(first) = first else {
        // Nothing leads on yet.
        return Ok(());
    };
    let (windows, id) = (&context.brought_windows, &far.resource_id);
    windows.begin(id, newest.id, Some(first.in_log.at));
    windows.reach(id, newest.id, until);
    let Some(window) = windows.of(far).filter(|_| tell) else {
        return Ok(());
    };
    let (region, id) = (far.region.clone(), id.clone());
    let told = context.catalog.write(move |tx| {
        let Some(mut stored) = retained_backups::get(tx, &region, &id)? else {
            return Ok(());
        };
        let last = stored.value.cluster.logs.last_mut();
        let Some(last) = last.filter(|last| last.id == newest.id) else {
            return Ok(());
        };
        let now = (Some(window.earliest), Some(window.latest));
        if (last.earliest, last.latest) != now {
            (last.earliest, last.latest) = now;
            keyed::update(tx, stored)?;
        }
        Ok::<_, CatalogError>(())
    });
    told.await
}

/// Notes of what is no longer to be brought that it is not.
///
/// # Errors
/// The catalog's.
pub(super) async fn end_unwanted(context: &ServiceContext) -> Result<(), CatalogError> {
    let pairs = context.settings.replicate_backups.clone();
    let is_unwanted = move |backup: &RetainedBackup| {
        let to = backup
            .brought_from
            .as_ref()
            .and_then(|from| pairs.get(from));
        to != Some(&backup.cluster.region)
    };
    let found = context.catalog.read(retained_backups::brought).await?;
    if !found.iter().any(|stored| is_unwanted(&stored.value)) {
        return Ok(());
    }
    let ended = context.catalog.write(move |tx| {
        for stored in retained_backups::brought(tx)? {
            if is_unwanted(&stored.value) {
                retained::bring_no_more(tx, stored)?;
            }
        }
        Ok(())
    });
    ended.await
}
