//! Keeps the servers of this node's clusters running, and stops them at the end.
//!
//! It does not know how a server is begun; the engine does.
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use catalog::{CatalogExt, clusters as rows};
use model::{Cluster, ClusterStatus, cluster::Placement};

use super::{attempts, folder, home};
use crate::{core::Core, fault::chain};

/// How often clusters whose server ended by itself are started again.
const KEEP_POLL: Duration = Duration::from_secs(5);

/// Starts, or adopts, every cluster of this node whose record says `available`, and goes on
/// seeing to it that they run.
pub async fn keep(core: Arc<Core>) {
    loop {
        let node = core.settings.node.clone();
        match core
            .catalog
            .read(move |tx| rows::all_on_node(tx, &node))
            .await
        {
            Ok(found) => {
                let clusters = found.into_iter().map(|row| row.value);
                let tasks: Vec<_> = clusters
                    .filter(|cluster| cluster.status == ClusterStatus::Available)
                    .map(|cluster| see_to(core.clone(), cluster))
                    .collect();
                futures_util::future::join_all(tasks).await;
            }
            Err(error) => {
                tracing::warn!(cause = %chain(&error), "the list of clusters could not be read")
            }
        }
        tokio::select! {
            () = core.stopped() => return,
            () = tokio::time::sleep(KEEP_POLL) => {}
        }
    }
}

async fn see_to(core: Arc<Core>, cluster: Cluster) {
    let Some(place) = &cluster.placement else {
        return;
    };
    let home = home(&core, &cluster, place);
    if core.is_stopping() {
        return;
    }
    if core.engine.is_running(&home).await {
        if let Err(error) = core.engine.trim_log(&home).await {
            tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the cluster's log was not cut");
        }
        return;
    }
    let mark = |starting: bool| {
        let mut marks = core.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if starting {
            marks.insert(cluster.resource_id.clone())
        } else {
            marks.remove(&cluster.resource_id)
        };
    };
    mark(true);
    tracing::info!(cluster = %cluster.name, "starting the cluster's server");
    let started = tokio::select! {
        started = core.engine.start(&home) => started,
        () = core.stopped() => Ok(()),
    };
    match started {
        Ok(()) => mark(false),
        // Stays marked: the record says available, the answer says starting.
        Err(error) => {
            tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the cluster's server does not start")
        }
    }
}

/// Stops the servers of all clusters that this node has, those of attempts without a commit
/// included.
pub async fn stop_all(core: &Core, patience: Duration) {
    let node = core.settings.node.clone();
    let found = core
        .catalog
        .read(move |tx| rows::all_on_node(tx, &node))
        .await;
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(cause = %chain(&error), "the list of clusters could not be read");
            return;
        }
    };
    let mut stops = Vec::new();
    for cluster in found.iter().map(|row| &row.value) {
        let Some(place) = &cluster.placement else {
            continue;
        };
        for attempt in attempts(&folder(core, cluster)).unwrap_or_default() {
            let home = home(
                core,
                cluster,
                &Placement {
                    attempt,
                    ..place.clone()
                },
            );
            stops.push(async move {
                if let Err(error) = core.engine.stop(&home, patience).await {
                    tracing::warn!(cluster = %cluster.name, cause = %chain(&error), "the cluster's server does not stop");
                }
            });
        }
    }
    futures_util::future::join_all(stops).await;
}
