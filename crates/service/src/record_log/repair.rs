//! Puts right what records that come out of the record log say of work that nobody goes on with.
//!
//! It does not know where the records came from, nor where clusters' files are.
use catalog::{
    Catalog, CatalogError, CatalogExt, Stored, clusters as rows, instances, rebuild_state,
    snapshots as snapshot_rows,
};
use model::{Cluster, ClusterStatus, Instance, Placement, Region, SnapshotStatus, Told};

use super::report::{Files, Report};
use crate::{
    backups::retained::{self, Backups},
    events::kinds::{self, OfCluster},
    recovery_points,
};

/// Records handled by one transaction.
const BATCH: usize = 500;
/// Why something that was under way has failed.
static CUT_OFF: Told =
    Told::new("the catalog was lost while it was under way, and was rebuilt without it");
/// Why a cluster is lost.
static FILES_GONE: Told = Told::new("its files are gone");

/// Marks snapshots that were being made as failed.
pub(super) async fn snapshots(
    catalog: &dyn Catalog,
    report: &mut Report,
) -> Result<(), CatalogError> {
    loop {
        let failed: Vec<String> = catalog
            .write(|tx| {
                let mut failed = Vec::new();
                for mut stored in rebuild_state::unfinished(tx, BATCH)? {
                    stored.value.status = SnapshotStatus::Failed;
                    stored.value.failure = Some(CUT_OFF.clone());
                    recovery_points::settle(tx, &mut stored.value)?;
                    let stored = snapshot_rows::update(tx, stored)?;
                    kinds::snapshot_is(tx, &stored.value)?;
                    failed.push(stored.value.arn().to_string());
                }
                Ok::<_, CatalogError>(failed)
            })
            .await?;
        if failed.is_empty() {
            return Ok(());
        }
        failed.into_iter().for_each(|name| report.failed.add(name));
    }
}

/// What becomes of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It stays as it is.
    Stays,
    /// It is the node's that has its files.
    Moves,
    /// It was being made, and has failed.
    Fails,
    /// It was being deleted, and is not.
    Returns,
    /// It was being changed: its server is seen to as it is.
    Settles,
    /// It is forgotten.
    Goes,
}

fn fate(cluster: &Cluster, writer: Option<&Placement>, files: &Files) -> Fate {
    match (cluster.status, files) {
        (ClusterStatus::Creating, _) => Fate::Fails,
        (_, Files::Gone) => Fate::Goes,
        (ClusterStatus::Deleting, _) => Fate::Returns,
        (status, _) if status.is_changing() => Fate::Settles,
        (_, Files::Here(node)) if writer.is_some_and(|place| place.node != *node) => Fate::Moves,
        _ => Fate::Stays,
    }
}

/// Puts a region's clusters right: those whose files are gone are dropped.
pub(super) async fn clusters(
    catalog: &dyn Catalog,
    region: &Region,
    files: &(dyn Fn(&Cluster, Option<&Placement>) -> Files + Sync),
    report: &mut Report,
) -> Result<(), CatalogError> {
    let mut after = None;
    loop {
        let (of, from) = (region.clone(), after.clone());
        let page: Vec<Stored<Cluster>> = catalog
            .read(move |tx| rows::of_region(tx, &of, from.as_ref(), BATCH))
            .await?;
        let full = page.len() == BATCH;
        for stored in page {
            after = Some(stored.value.clone());
            let id = stored.value.resource_id.clone();
            let writer = catalog.read(move |tx| instances::writer(tx, &id));
            let writer: Option<Stored<Instance>> = writer.await?;
            let place = writer.as_ref().map(|writer| &writer.value.placement);
            let files = files(&stored.value, place);
            one(catalog, (stored, writer), files, report).await?;
        }
        if !full {
            return Ok(());
        }
    }
}

async fn one(
    catalog: &dyn Catalog,
    (stored, writer): (Stored<Cluster>, Option<Stored<Instance>>),
    files: Files,
    report: &mut Report,
) -> Result<(), CatalogError> {
    let place = writer.as_ref().map(|writer| writer.value.placement.clone());
    let fate = fate(&stored.value, place.as_ref(), &files);
    let whole = place.is_some_and(|place| place.is_whole());
    let arn = stored.value.arn().to_string();
    if fate == Fate::Stays {
        return Ok(());
    }
    catalog
        .write(move |tx| {
            let mut stored = stored.clone();
            let cluster = &mut stored.value;
            if fate == Fate::Goes {
                retained::settle(tx, cluster, Backups::Stay)?;
                rows::delete(tx, &cluster.region, &cluster.account, &cluster.name)?;
                return kinds::cluster(tx, cluster, OfCluster::Lost(&FILES_GONE));
            }
            match (&files, writer.clone()) {
                (Files::Here(node), Some(mut writer)) => {
                    writer.value.placement.node.clone_from(node);
                    instances::update(tx, writer)?;
                }
                // Nothing of it is anywhere, so that any node can delete it.
                (Files::Gone, Some(writer)) => {
                    instances::delete(tx, &writer.value)?;
                }
                _ => {}
            }
            let told = match fate {
                Fate::Fails => Some((ClusterStatus::Failed, OfCluster::Failed(&CUT_OFF))),
                Fate::Returns if whole => {
                    let told = OfCluster::DeletionFailed(&CUT_OFF);
                    Some((ClusterStatus::Available, told))
                }
                Fate::Returns => Some((ClusterStatus::Failed, OfCluster::DeletionFailed(&CUT_OFF))),
                Fate::Stays | Fate::Moves | Fate::Goes | Fate::Settles => None,
            };
            if fate == Fate::Settles {
                cluster.status = ClusterStatus::Available;
            }
            if let Some((status, _)) = told {
                cluster.status = status;
                cluster.failure = Some(CUT_OFF.clone());
            }
            let stored = rows::update(tx, stored)?;
            match told {
                Some((_, told)) => kinds::cluster(tx, &stored.value, told),
                None => Ok(()),
            }
        })
        .await?;
    match fate {
        Fate::Goes => report.dropped.add(arn),
        Fate::Fails => report
            .clusters
            .add(format!("{arn} (was being made: failed)")),
        Fate::Returns => report
            .clusters
            .add(format!("{arn} (was being deleted: kept)")),
        Fate::Settles => report
            .clusters
            .add(format!("{arn} (was being changed: available)")),
        Fate::Stays | Fate::Moves => {}
    }
    Ok(())
}
