//! Makes a cluster from a snapshot: the files beside everything else, the engine's recovery,
//! and last the commit that makes it visible.
use catalog::{CatalogError, CatalogExt, Tx, clusters, tombstones};
use model::{ClusterStatus, Content, Job, ResourceId, Told, job::Subject};
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use super::{
    JobError, create_cluster,
    run::{JobType, Run},
};
use crate::{
    clusters::{addresses, files, parameters},
    keys::KeyUser,
    logs::source::{self, PointInTime},
    trace, verify,
};

/// The job's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Body {
    /// The cluster to be.
    pub cluster: ResourceId,
    /// The snapshot's content; its data key is wrapped under the new cluster's key.
    pub content: Content,
    /// How far its log is to be applied; none: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointInTime>,
}

/// The kind.
#[derive(Debug)]
pub struct RestoreCluster;

impl JobType for RestoreCluster {
    const NAME: &'static str = "restore-cluster";
    const WORKS_ON: &'static str = "cluster";
    type Body = Body;

    async fn run(run: &Run) -> Result<(), JobError> {
        self::run(run).await
    }

    fn give_up(tx: &mut dyn Tx, job: &Job, reason: &Told) -> Result<(), CatalogError> {
        create_cluster::give_up(tx, job, reason)
    }

    fn show(tx: &mut dyn Tx, job: &Job, percent: u8) -> Result<(), CatalogError> {
        if let Subject::Cluster(of) = &job.subject
            && let Some(mut stored) = clusters::get(tx, &of.region, &of.account, &of.name)?
            && stored.value.status == ClusterStatus::Creating
            && stored
                .value
                .percent_progress
                .is_some_and(|shown| shown < percent)
        {
            stored.value.percent_progress = Some(percent);
            clusters::update(tx, stored)?;
        }
        Ok(())
    }
}

async fn run(run: &Run) -> Result<(), JobError> {
    let body: Body = run.body()?;
    let context = &run.context;
    let cluster = run.cluster(&body.cluster).await?;
    if let Some(place) = create_cluster::made_before(run, &cluster).await? {
        return create_cluster::commit(run, body.cluster, place).await;
    }
    let place = run.fresh_place(&cluster).await?;
    run.clear_other_attempts(&cluster, &place).await?;
    let place = addresses::secure(context, &cluster, place).await?;
    let home = files::home(context, &cluster, &place);
    run.make_way(&home).await?;
    let user = KeyUser::rds(&cluster.account, &cluster.region);
    let data_key = match &body.content.wrapped_key {
        Some(wrapped) => Some(context.keys.unwrap(&user, wrapped).await?),
        None => None,
    };
    let (content, source) = (body.content.clone(), body.content.clone());
    let (region, prefix) = (
        cluster.region.clone(),
        format!("volumes/{}/", content.volume),
    );
    let absent = context
        .catalog
        .read(move |tx| tombstones::list(tx, &region, &prefix))
        .await?;
    let vault = context.vaults.get(&cluster.region)?;
    let (point, log_vault) = (body.point.clone(), vault.clone());
    let (folder, progress) = (home.dir.clone(), run.progress.clone());
    let restored = tokio::task::spawn_blocking(move || {
        files::make_passage(&folder).map_err(|error| {
            JobError::retry(format!("{} cannot be made: {error}", folder.display()))
        })?;
        let into = folder.join("data");
        let content = body.content;
        let restored = vault::restore(
            &vault,
            &content.volume,
            content.manifest,
            data_key.as_ref(),
            &absent,
            &into,
            &*progress,
        );
        Ok::<_, JobError>(restored)
    })
    .instrument(trace::stage("restore"))
    .await
    .map_err(|error| JobError::retry(format!("the restore ended early: {error}")))??;
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => {
            return Err(verify::repair_snapshot(run, &cluster.region, &source, error).await);
        }
    };
    // A server recovers from what may be hostile content: that is its own work.
    let engine = context.engine_of(&cluster)?;
    let document = &restored.engine_document;
    match point {
        None => {
            let load = engine
                .load(&home, document)
                .instrument(trace::stage("load"));
            run.slot.waiting(load).await?;
        }
        Some(point) => {
            let key = match &point.wrapped_key {
                Some(wrapped) => Some(context.keys.unwrap(&user, wrapped).await?),
                None => None,
            };
            let (target, mut log) = source::open(&log_vault, &point, key).await?;
            let load = engine.load_until(&home, document, &target, &mut log);
            let load = load.instrument(trace::stage("load"));
            run.slot.waiting(load).await?;
        }
    }
    let place = parameters::settle(context, &cluster, place).await?;
    addresses::give_rights(&run.context, &cluster, &place).await;
    create_cluster::commit(run, cluster.resource_id, place).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{SqliteCatalog, conformance::samples};
    use model::{JobKind, SystemClock};

    use super::*;

    #[tokio::test]
    async fn a_restore_shows_how_far_it_is_until_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = SqliteCatalog::open(&folder.path().join("catalog"), Arc::new(SystemClock));
        let catalog = catalog.expect("a catalog");
        let done = catalog.write(|tx| {
            let job = samples::job(JobKind::of(RestoreCluster::NAME), "c");
            RestoreCluster::show(tx, &job, 5)?;
            let stored = clusters::insert(
                tx,
                model::Cluster {
                    status: ClusterStatus::Creating,
                    percent_progress: Some(0),
                    ..samples::cluster("c")
                },
            )?;
            let shown = |tx: &mut dyn Tx, percent| {
                RestoreCluster::show(tx, &job, percent)?;
                let stored = clusters::get_by_resource_id(tx, &stored.value.resource_id)?;
                Ok::<_, CatalogError>(stored.expect("it is kept"))
            };
            let mut last = 0;
            for (percent, expected) in [(7, 7), (3, 7), (99, 99)] {
                let now = shown(tx, percent)?;
                assert_eq!(now.value.percent_progress, Some(expected));
                assert!(
                    last == now.version || expected == percent,
                    "written for nothing"
                );
                last = now.version;
            }
            let mut stored = shown(tx, 99)?;
            stored.value.status = ClusterStatus::Available;
            stored.value.percent_progress = None;
            let version = clusters::update(tx, stored.clone())?.version;
            RestoreCluster::show(tx, &job, 99)?;
            let after = clusters::get_by_resource_id(tx, &stored.value.resource_id)?;
            assert_eq!(after.map(|one| one.version), Some(version), "it has ended");
            Ok::<_, CatalogError>(())
        });
        done.await.expect("it is good");
    }
}
