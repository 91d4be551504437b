//! Forgets a node that never comes back: its jobs are given up, its clusters' records removed.
//!
//! It does not know whether the machine is gone: it believes whoever asks, once the node is silent.
use std::time::Duration;

use catalog::{
    Catalog, CatalogError, CatalogExt, Tx, clusters,
    instances::{self, Member},
    jobs, node_tasks, nodes,
};
use model::{ClusterStatus, InstanceRole, Job, SystemEntropy, Told, job::Subject, limits};

use crate::{
    backups::retained::{self, Backups},
    events::kinds::{self, OfCluster},
    jobs::{
        delete_cluster::{self, DeleteCluster},
        registry::give_up,
        run::job_at,
    },
};

/// What becomes of the clusters whose files the node had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItsClusters {
    /// With any, the node is not forgotten.
    Keep,
    /// Their records are removed.
    Drop,
}

/// What was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// ARNs of the clusters whose records were removed.
    pub clusters: Vec<String>,
    /// Jobs that only this node could have done, given up.
    pub jobs_failed: u64,
    /// Jobs that it held, and others go on with.
    pub jobs_released: u64,
}

/// Why a node is not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// Nothing is of that name.
    #[error("nothing is known of a node {0}")]
    Unknown(String),
    /// Its process lives, or did a moment ago.
    #[error("the node {name} was heard of {} ms ago, at {endpoint}", silent.as_millis())]
    Alive {
        /// Its name.
        name: String,
        /// Where it is reached.
        endpoint: String,
        /// How long it has been silent.
        silent: Duration,
    },
    /// Their files would be given up.
    #[error("the node {name} has the files of {}", .clusters.join(", "))]
    HasClusters {
        /// Its name.
        name: String,
        /// The clusters' ARNs.
        clusters: Vec<String>,
    },
    /// The catalog fails.
    #[error("the catalog cannot be used")]
    Catalog(#[from] CatalogError),
}

/// Forgets a node of a shared catalog, in one transaction.
///
/// # Errors
/// [`ForgetError`]; nothing was changed then.
pub async fn node(
    catalog: &dyn Catalog,
    name: &str,
    its_clusters: ItsClusters,
) -> Result<Forgotten, ForgetError> {
    let name = name.to_owned();
    catalog
        .write(move |tx| forget(tx, &name, its_clusters))
        .await
}

fn forget(
    tx: &mut dyn Tx,
    name: &str,
    its_clusters: ItsClusters,
) -> Result<Forgotten, ForgetError> {
    let known = nodes::get(tx, name)?;
    if let Some(node) = &known {
        let silent = tx.now().since(node.heartbeat_at);
        if node.state != nodes::NodeState::Stopped && silent < limits::NODE_SILENCE {
            return Err(ForgetError::Alive {
                name: name.to_owned(),
                endpoint: node.endpoint.clone(),
                silent,
            });
        }
    }
    let held = instances::on_node(tx, name)?;
    let bound = jobs::bound_to(tx, name)?;
    if known.is_none() && held.is_empty() && bound.is_empty() {
        return Err(ForgetError::Unknown(name.to_owned()));
    }
    let mut arns: Vec<String> = held
        .iter()
        .map(|member| member.cluster.arn().to_string())
        .collect();
    arns.dedup();
    if !held.is_empty() && its_clusters == ItsClusters::Keep {
        return Err(ForgetError::HasClusters {
            name: name.to_owned(),
            clusters: arns,
        });
    }
    let reason = format!("its node {name} was forgotten");
    let told = Told::new("the node that had it was forgotten");
    for job in &bound {
        jobs::fail(tx, job, &reason)?;
        give_up(tx, job, &told)?;
    }
    // Read again: jobs that were given up have changed them.
    for member in instances::on_node(tx, name)? {
        if is_dropped_elsewhere(tx, &member, &told)? {
            continue;
        }
        let cluster = member.cluster;
        // With one of its instances go all of them.
        retained::settle(tx, &cluster, Backups::Stay)?;
        if clusters::delete(tx, &cluster.region, &cluster.account, &cluster.name)? {
            kinds::cluster(tx, &cluster, OfCluster::Lost(&told))?;
        }
    }
    let jobs_released = jobs::release_held_by(tx, &format!("{name}/"))?;
    nodes::forget(tx, name)?;
    node_tasks::forget(tx, name)?;
    Ok(Forgotten {
        clusters: arns,
        jobs_failed: bound.len() as u64,
        jobs_released,
    })
}

/// Has another node delete a cluster that has instances there, too: those are removed first, and the record
/// last. Answers whether there is such a node.
fn is_dropped_elsewhere(tx: &mut dyn Tx, lost: &Member, told: &Told) -> Result<bool, CatalogError> {
    let id = &lost.cluster.resource_id;
    let others = instances::of_cluster(tx, id)?.into_iter();
    let mut others = others.filter(|one| one.value.placement.node != lost.instance.placement.node);
    let (Some(mut next), Some(mut stored)) = (others.next(), clusters::get_by_resource_id(tx, id)?)
    else {
        return Ok(false);
    };
    instances::delete(tx, &lost.instance)?;
    if stored.value.status == ClusterStatus::Deleting && next.value.is_writer() {
        // It goes on without this one.
        return Ok(true);
    }
    if !next.value.is_writer() {
        next.value.role = InstanceRole::Writer;
        next = instances::update(tx, next)?;
    }
    for status in [ClusterStatus::Available, ClusterStatus::Deleting] {
        if stored.value.status.may_become(status) {
            stored.value.status = status;
            stored = clusters::update(tx, stored)?;
        }
    }
    let cluster = &stored.value;
    let subject = Subject::cluster(&cluster.region, &cluster.account, &cluster.name);
    let body = delete_cluster::Body {
        cluster: id.clone(),
        final_snapshot: None,
        was_stopped: false,
        keeps_backups: true,
    };
    let job = Job {
        node: Some(next.value.placement.node),
        ..job_at::<DeleteCluster>(&SystemEntropy, tx.now(), subject, &body)
    };
    jobs::insert(tx, &job)?;
    kinds::cluster(tx, cluster, OfCluster::Lost(told))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::{SqliteCatalog, conformance::samples};
    use model::{Instance, InstanceId, InstanceStatus, SystemClock};

    use super::*;

    #[tokio::test]
    async fn a_cluster_on_several_nodes_is_deleted_by_those_that_are_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = SqliteCatalog::open(&folder.path().join("catalog"), Arc::new(SystemClock));
        let catalog = catalog.expect("a catalog");
        let made = catalog.write(|tx| {
            let mut cluster = samples::cluster("c");
            cluster.spread = Some(Box::default());
            clusters::insert(tx, cluster.clone())?;
            let writer = samples::writer(&cluster);
            instances::insert(tx, writer.clone())?;
            for node in ["node-2", "node-3"] {
                let id = InstanceId::draw(&SystemEntropy);
                let mut reader = Instance::reader(&cluster, id, writer.placement.clone());
                reader.placement.node = node.to_owned();
                reader.status = InstanceStatus::Available;
                instances::insert(tx, reader)?;
            }
            Ok::<_, CatalogError>(cluster.resource_id)
        });
        let id = made.await.expect("made");
        let gone = node(&catalog, "node-1", ItsClusters::Drop).await;
        assert_eq!(gone.expect("forgotten").clusters.len(), 1);
        let left = catalog.read(move |tx| {
            let cluster = clusters::get_by_resource_id(tx, &id)?.expect("it is still there");
            assert_eq!(cluster.value.status, ClusterStatus::Deleting);
            let members = instances::of_cluster(tx, &id)?;
            assert_eq!(members.len(), 2);
            assert_eq!(
                members.iter().filter(|one| one.value.is_writer()).count(),
                1
            );
            jobs::bound_to(tx, &members[0].value.placement.node)
        });
        let left = left.await.expect("it reads");
        assert_eq!(left.len(), 1, "one of them deletes it");
        assert_eq!(left[0].kind.as_str(), "delete-cluster");
    }
}
